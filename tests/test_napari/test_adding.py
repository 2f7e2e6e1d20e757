"""Scans come into a project through real buttons, a real file dialog and real drops on the real window."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget, QFileDialog, QRadioButton, QWidget
from support.projects.review_project import ReviewProject
from support.window.widgets import choose

from lens_engine.findings import Scope, Split
from lens_engine.phantom.patient import PhantomSettings, make_patient
from lens_engine.phantom.write_dicom import write_dicom_series
from lens_engine.project import Project
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.new_project import create_project
from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_until
from lens_napari.panels.series import NO_SCANS

PATIENCE_SECONDS = 60.0
TINY = PhantomSettings(size=64, slice_spacing_mm=10.0, coverage_mm=120.0)


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one DICOM series of each of two patients, a broken scan, a pipe and a letter."""
    folder = tmp_path_factory.mktemp("scans") / "Röntgen 肝臓"
    for number in (1, 2):
        patient = make_patient(number, "universal", TINY)
        write_dicom_series(folder / f"patient {number}", patient, patient.series[0])
    (folder / "broken.nii.gz").write_bytes(b"not an image")
    (folder / "letter.txt").write_text("Dear colleague")
    os.mkfifo(folder / "pipe.dcm")
    return folder


@pytest.fixture
def empty_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    database, _ = create_project(tmp_path / "empty")
    database.close()
    return tmp_path / "empty"


@pytest.fixture
def empty(viewer: Any, empty_project: Path) -> Iterator[ReviewController]:
    controller = open_project(empty_project, viewer, start_worker=False)
    assert wait_ready(controller, PATIENCE_SECONDS)
    yield controller
    controller.close()


def series_of(folder: Path) -> tuple[SeriesRecord, ...]:
    database = Database.open(Project.open(folder))
    records = Catalog(database).all_series()
    database.close()
    return records


def click(button: QWidget) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def answer_dialog(folder: Path) -> None:
    """Choose a folder in the file dialog that is open."""
    dialog = next(one for one in QApplication.topLevelWidgets() if isinstance(one, QFileDialog) and one.isVisible())
    dialog.setDirectory(str(folder.parent))
    dialog.selectFile(str(folder))
    dialog.accept()


def drop(target: QWidget, paths: list[Path]) -> bool:
    """Drag files over a widget and let them go, as Qt tells it; return whether they were taken."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    button, modifier, action = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, Qt.DropAction.CopyAction
    enter = QDragEnterEvent(QPoint(20, 20), action, mime, button, modifier)
    QApplication.sendEvent(target, enter)
    if enter.isAccepted():
        QApplication.sendEvent(target, QDropEvent(QPointF(20, 20), action, mime, button, modifier))
    return bool(enter.isAccepted())


def choose_our_reader() -> None:
    """Answer napari's question which reader is to open a file."""
    dialog = QApplication.activeModalWidget()
    if dialog is None:
        QTimer.singleShot(50, choose_our_reader)
        return
    next(one for one in dialog.findChildren(QRadioButton) if one.text() == "LENS lesion review").click()
    dialog.accept()


def offered(review: ReviewController) -> bool:
    return wait_until(lambda: review.adding.panel.is_asking, PATIENCE_SECONDS)


def add(review: ReviewController) -> str:
    """Press the button that adds, and return what is said at the end."""
    panel = review.adding.panel
    click(panel.add_button)
    assert review.adding.is_running
    assert not panel.running_box.isHidden()
    assert wait_until(lambda: not review.adding.is_running, PATIENCE_SECONDS)
    return str(panel.result_label.text() or panel.message_label.text())


def test_an_empty_project_says_so_and_its_button_adds_scans(
    empty: ReviewController, scans: Path, empty_project: Path
) -> None:
    assert wait_until(lambda: empty.lesion_panel.summary_heading.text() == "No scans yet", PATIENCE_SECONDS)
    assert empty.worklist.series_box.list_box.currentText() == NO_SCANS
    click(next(one for action, one in empty.lesion_panel.step_buttons.items() if not one.isHidden()))
    answer_dialog(scans)
    assert offered(empty)
    assert empty.adding.panel.paths_label.toolTip() == str(scans)
    assert series_of(empty_project) == ()  # nothing is added before the answer
    assert add(empty) == "2 scans added, 1 refused."
    assert "broken.nii.gz cannot be read" in empty.adding.panel.result_list.toPlainText()
    assert "1 × pipe or device" in empty.adding.panel.result_list.toPlainText()
    assert len(series_of(empty_project)) == 2
    assert wait_until(lambda: empty.shown_series is not None, PATIENCE_SECONDS)
    assert wait_until(lambda: empty.lesion_panel.summary_heading.text() == "Not searched yet", PATIENCE_SECONDS)


def test_the_same_folder_twice_adds_nothing_and_says_so(
    empty: ReviewController, scans: Path, empty_project: Path
) -> None:
    for expected in ("1 scan added.", "Nothing was added, 1 in the project already."):
        assert empty.adding.offer([scans / "patient 1"])
        assert offered(empty)
        assert add(empty) == expected
    assert len(series_of(empty_project)) == 1


def test_data_set_and_split_are_as_the_reader_chose(empty: ReviewController, scans: Path, empty_project: Path) -> None:
    empty.adding.offer([scans / "patient 1"])
    assert offered(empty)
    panel = empty.adding.panel
    choose(panel.dataset_box, None)
    assert not panel.add_button.isEnabled()  # the kind is missing
    QTest.keyClicks(panel.kind_edit, "kidney")
    panel.split_box.setCurrentText("To test on")
    add(empty)
    (record,) = series_of(empty_project)
    assert (record.dataset, record.split) == ("kidney", Split.TEST)
    database = Database.open(Project.open(empty_project))
    assert Catalog(database).dataset("kidney").scope is Scope.SINGLE_TYPE
    database.close()


@pytest.mark.parametrize("place", ["picture", "worklist", "welcome"])
def test_a_folder_dropped_anywhere_on_the_window_is_offered_to_the_project(
    empty: ReviewController, scans: Path, empty_project: Path, place: str
) -> None:
    canvas = empty.viewer.window._qt_viewer.canvas.native
    target = {"picture": canvas, "worklist": empty.worklist.table.viewport(), "welcome": canvas.children()[0]}[place]
    assert drop(target, [scans / "patient 1", scans / "patient 2"])
    assert offered(empty)
    assert len(empty.viewer.layers) == 0
    assert add(empty) == "2 scans added."
    assert len(series_of(empty_project)) == 2


def test_a_slice_dropped_over_a_review_adds_its_whole_series_and_disturbs_nothing(
    review: ReviewController, scans: Path, project_folder: Path
) -> None:
    layers, asked, before = len(review.viewer.layers), review.current, review.worklist.series_box.list_box.count()
    one = next(iter(sorted((scans / "patient 1").iterdir())))
    assert drop(review.viewer.window._qt_viewer.canvas.native, [one])
    assert offered(review)
    assert add(review) == "1 scan added."
    assert len(review.viewer.layers) == layers
    assert review.current is asked
    assert review.is_ready
    assert review.worklist.series_box.list_box.count() == before + 1
    new = series_of(project_folder)[-1]
    assert new.geometry is not None
    assert new.geometry.shape[0] == len(list((scans / "patient 1").iterdir()))


def test_a_scan_opened_through_napari_is_offered_to_the_project(review: ReviewController, scans: Path) -> None:
    layers = len(review.viewer.layers)
    slices = sorted((scans / "patient 2").iterdir())
    review.viewer.open([str(path) for path in slices], plugin="lens-napari")
    assert len(review.viewer.layers) == layers
    assert offered(review)
    assert add(review) == "1 scan added."


def test_an_address_on_the_web_is_not_laid_over_the_patient(review: ReviewController) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl("https://example.org/scan.nii.gz")])
    canvas = review.viewer.window._qt_viewer.canvas.native
    event = QDragEnterEvent(
        QPoint(5, 5), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    QApplication.sendEvent(canvas, event)
    assert not event.isAccepted()


def test_after_the_project_is_closed_napari_opens_what_is_dropped(
    viewer: Any, empty_project: Path, scans: Path
) -> None:
    controller = open_project(empty_project, viewer, start_worker=False)
    assert wait_ready(controller, PATIENCE_SECONDS)
    controller.close()
    one = next(iter(sorted((scans / "patient 1").iterdir())))
    QTimer.singleShot(0, choose_our_reader)
    assert drop(viewer.window._qt_viewer, [one])
    assert [layer.data.shape[0] for layer in viewer.layers] == [len(list((scans / "patient 1").iterdir()))]


def test_stop_adds_nothing_while_files_are_read(empty: ReviewController, tmp_path: Path, empty_project: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"{number}.txt").write_text("no scan")
    empty.adding._timer.setInterval(0)  # a quick disk is through before the window looks for the second time
    empty.adding.offer([tmp_path])
    assert offered(empty)
    panel = empty.adding.panel
    click(panel.add_button)
    assert wait_until(lambda: ".txt" in panel.progress_label.toolTip(), PATIENCE_SECONDS)
    click(panel.stop_button)
    assert wait_until(lambda: not empty.adding.is_running, PATIENCE_SECONDS)
    assert panel.message_label.text() == "Stopped. Nothing was added."
    assert panel.choose_button.isEnabled()
    assert series_of(empty_project) == ()


BAD_INPUT: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing readable": (lambda folder: written(folder / "letter.txt", b"Dear colleague").parent, "no CT series"),
    "no image": (lambda folder: written(folder / "scan.nii.gz", b"Dear colleague"), "cannot be read as nifti"),
    "nothing": (lambda folder: folder, "no files"),
    "gone": (lambda folder: folder / "gone", "does not exist"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_gives_one_clear_message_and_the_viewer_stays_usable(
    empty: ReviewController, tmp_path: Path, case: str
) -> None:
    make, told = BAD_INPUT[case]
    folder = tmp_path / "given"
    folder.mkdir()
    empty.adding.offer([make(folder)])
    assert offered(empty)
    assert add(empty) == "Nothing was added, 1 refused."
    refused = [text for text in empty.adding.panel.result_list.toPlainText().splitlines() if text.startswith("Refused")]
    assert len(refused) == 1
    assert told in refused[0]
    assert empty.adding.panel.choose_button.isEnabled()


def test_ten_thousand_refused_files_are_all_named(empty: ReviewController) -> None:
    lines = [f"Refused: {number}.dcm is truncated or damaged" for number in range(10_000)]
    empty.adding.panel.show_result("Nothing was added, 10000 refused.", lines, can_find=False)
    shown = empty.adding.panel.result_list
    assert shown.blockCount() == 10_000
    assert shown.verticalScrollBar().maximum() > 9_000


def test_the_dock_comes_forward_though_it_was_closed(review: ReviewController) -> None:
    dock = review.adding.panel
    while not isinstance(dock, QDockWidget):
        dock = dock.parentWidget()
    dock.close()
    click(review.worklist.series_box.add_button)
    assert not dock.isHidden()
    dialog = next(one for one in QApplication.topLevelWidgets() if isinstance(one, QFileDialog) and one.isVisible())
    dialog.reject()
    assert not review.adding.panel.is_asking


def test_a_dropped_folder_waits_while_another_is_added(empty: ReviewController, scans: Path) -> None:
    empty.adding.offer([scans / "patient 1"])
    assert offered(empty)
    click(empty.adding.panel.add_button)
    empty.adding.offer([scans / "patient 2"])
    assert "being added" in empty.adding.panel.message_label.text()
    assert wait_until(lambda: not empty.adding.is_running, PATIENCE_SECONDS)
    assert empty.adding.panel.result_label.text() == "1 scan added."


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_the_plugin_widget_makes_a_project_and_opens_it(
    viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, review_template: ReviewProject
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    _, widget = viewer.window.add_plugin_dock_widget("lens-napari", "Review a project")
    (tmp_path / "mine").mkdir()
    click(widget.new_button)
    answer_dialog(tmp_path / "mine")
    assert wait_until(lambda: "is open" in widget.message_label.text(), PATIENCE_SECONDS)
    assert not widget.open_button.isEnabled()
    assert (tmp_path / "mine" / "lens.yaml").is_file()
