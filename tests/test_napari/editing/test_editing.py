"""Boxes by real keys and real drags on the real canvas, with decisions in a real database."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit
from support.projects.review_project import history_on_disk
from support.window.seen import accept_and_go_back, asked, notice

from lens_engine.findings import Box2D, Scope, SliceBox, Verdict, box_from_slices, middle_section
from lens_engine.project import Project
from lens_engine.snapshot import LabelSet, LesionOrigin, LesionRole
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.tasks.mining_inputs import lesions_of_series
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_saved, wait_until
from lens_napari.editing.wording import ANOTHER_SERIES, BEGIN_INSIDE, NO_BOX, SCAN_LOADS, TOO_SMALL
from lens_napari.review.box_table import CANDIDATES
from lens_napari.review.saying.axes_wording import AXES_REMOVED, NO_AXES
from lens_napari.saying.confirmation import Confirmation

PATIENCE_SECONDS = 120.0
LEFT, NO_MODIFIER = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
LESION_TYPE = "lung nodule"
Press = Callable[..., None]
Voxel = tuple[float, float]


@pytest.fixture
def project_folder(project_folder: Path) -> Path:
    """Return the project with a type of lesion to choose."""
    database = Database.open(Project.open(project_folder))
    Catalog(database).add_dataset("lung", Scope.SINGLE_TYPE, LESION_TYPE)
    database.close()
    return project_folder


def place_of(review: ReviewController, voxel: Voxel) -> QPoint:
    """Return where a point (x, y) of the slice, in voxel edges, lies on the canvas."""
    (height, width), camera = review.viewer.canvas.size, review.viewer.scene.camera
    _, sy, sx = review.view.layers.spacing_mm
    right = ((voxel[0] - 0.5) * sx - camera.center[-1]) * camera.zoom + width / 2
    down = ((voxel[1] - 0.5) * sy - camera.center[-2]) * camera.zoom + height / 2
    return QPoint(round(right), round(down))


def drag(review: ReviewController, start: Voxel, end: Voxel) -> None:
    QTest.qWait(50)  # a panel that has grown may move the picture in a small window
    canvas = review.viewer.window._qt_viewer.canvas.native
    first, last = place_of(review, start), place_of(review, end)
    QTest.mousePress(canvas, LEFT, NO_MODIFIER, first)
    for place in (first + (last - first) / 2, last):
        QTest.qWait(20)  # vispy leaves out what comes in quick succession
        QApplication.sendEvent(canvas, QMouseEvent(QEvent.Type.MouseMove, QPointF(place), LEFT, LEFT, NO_MODIFIER))
    QTest.mouseRelease(canvas, LEFT, NO_MODIFIER, last)


def slice_on_screen(review: ReviewController) -> int:
    shown = review.view.slice_on_screen
    assert shown is not None
    return shown[0]


def asked_section(review: ReviewController) -> SliceBox:
    assert review.session.current_entry is not None
    return middle_section(review.session.current_entry.slices)


def centre(review: ReviewController) -> tuple[float, ...]:
    """Return the middle of the picture; napari asks for it when it draws, which a hidden window does not."""
    review.viewer.window._qt_viewer.canvas.on_draw(None)
    return tuple(review.viewer.scene.camera.center)


def on_screen(review: ReviewController) -> list[Box2D]:
    """Return the boxes of lesions that napari draws on the slice on screen, as (x1, y1, x2, y2)."""
    return [
        (one[0][2] + 0.5, one[0][1] + 0.5, one[2][2] + 0.5, one[2][1] + 0.5)
        for one in review.view.layers.boxes[CANDIDATES].data
    ]


def free_place(review: ReviewController) -> tuple[Voxel, Voxel]:
    """Return two corners of a box inside the picture."""
    x1, y1, x2, y2 = asked_section(review).box
    return ((x1 + x2) / 2 - 9, (y1 + y2) / 2 - 9), ((x1 + x2) / 2 - 3, (y1 + y2) / 2 - 4)


def draw_lesion(review: ReviewController, press: Press) -> None:
    asked(review)
    press(Qt.Key.Key_D, SHIFT)
    drag(review, *free_place(review))


def said_on_disk(review: ReviewController, folder: Path) -> list[tuple[Verdict, str | None]]:
    assert wait_saved(review, PATIENCE_SECONDS)
    return [(one.verdict, one.decision.lesion_type) for one in history_on_disk(folder)]


def test_a_corner_is_dragged_and_y_stores_the_adjusted_box_which_undo_and_redo_cover_as_one(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    first, section = asked(review), asked_section(review)
    x1, y1, x2, y2 = section.box
    press(Qt.Key.Key_E, SHIFT)
    drag(review, (x2, y2), (x2 + 4, y2 + 3))
    wanted = (x1, y1, x2 + 4, y2 + 3)
    assert any(box == pytest.approx(wanted, abs=0.4) for box in on_screen(review))
    assert review.session.pending == 0
    press(Qt.Key.Key_Y)
    assert asked(review) != first
    assert wait_saved(review, PATIENCE_SECONDS)
    (stored,) = history_on_disk(project_folder)
    assert (stored.candidate_id, stored.verdict) == (first, Verdict.ADJUSTED)
    (changed,) = (one.box for one in stored.decision.slices if one.slice_index == section.slice_index)
    assert changed == pytest.approx(wanted, abs=0.4)
    assert stored.box == box_from_slices(stored.decision.slices)
    press(Qt.Key.Key_Z, CONTROL)
    assert asked(review) == first
    assert asked_section(review) == section
    press(Qt.Key.Key_Y, CONTROL)
    assert wait_saved(review, PATIENCE_SECONDS)
    history = history_on_disk(project_folder)
    assert [one.verdict for one in history] == [Verdict.ADJUSTED, Verdict.WITHDRAWN, Verdict.ADJUSTED]
    assert history[-1].decision.slices == stored.decision.slices


def test_escape_takes_a_changed_box_back(review: ReviewController, press: Press) -> None:
    asked(review)
    section, before = asked_section(review), on_screen(review)
    press(Qt.Key.Key_E, SHIFT)
    drag(review, (section.box[0], section.box[1]), (section.box[0] - 3, section.box[1] - 3))
    assert on_screen(review) != before
    press(Qt.Key.Key_Escape)
    assert on_screen(review) == before
    assert review.boxes.draft is None
    assert review.session.pending == 0


def test_a_drag_inside_moves_the_box_and_one_outside_pans(review: ReviewController, press: Press) -> None:
    asked(review)
    x1, y1, x2, y2 = asked_section(review).box
    middle = ((x1 + x2) / 2, (y1 + y2) / 2)
    press(Qt.Key.Key_E, SHIFT)
    drag(review, middle, (middle[0] + 3, middle[1] - 2))
    assert any(box == pytest.approx((x1 + 3, y1 - 2, x2 + 3, y2 - 2), abs=0.4) for box in on_screen(review))
    draft, before = review.boxes.draft, centre(review)
    drag(review, (x2 + 12, y2 + 12), (x2 + 15, y2 + 15))
    assert review.boxes.draft == draft
    assert centre(review) != before


def test_without_a_box_in_work_a_drag_over_the_lesion_pans(review: ReviewController) -> None:
    asked(review)
    x1, y1, x2, y2 = asked_section(review).box
    before, middle = on_screen(review), centre(review)
    drag(review, ((x1 + x2) / 2, (y1 + y2) / 2), (x2 + 4, y2 + 4))
    assert on_screen(review) == before
    assert centre(review) != middle


def test_keys_and_fields_change_the_slices_of_a_box(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    asked(review)
    assert review.session.current_entry is not None
    first, last = (review.session.current_entry.slices[end].slice_index for end in (0, -1))
    press(Qt.Key.Key_Up, SHIFT)
    press(Qt.Key.Key_Down, SHIFT)
    panel = review.boxes.panel
    assert (panel.first_field.value(), panel.last_field.value()) == (first, last + 2)
    press(Qt.Key.Key_Down, SHIFT | CONTROL)
    assert review.boxes.draft is not None
    assert review.boxes.draft.extent == (first, last + 1)
    panel.last_field.setValue(last + 1)  # counted from 1
    assert review.boxes.draft.extent == (first, last)
    press(Qt.Key.Key_Z, CONTROL)
    press(Qt.Key.Key_Return)
    assert wait_saved(review, PATIENCE_SECONDS)
    (stored,) = history_on_disk(project_folder)
    assert stored.verdict is Verdict.ADJUSTED
    assert (stored.box[2], stored.box[5]) == (first, last + 2)


def test_enter_in_a_field_ends_a_number_and_keeps_no_box(review: ReviewController, press: Press) -> None:
    asked(review)
    press(Qt.Key.Key_Up, SHIFT)
    assert review.boxes.draft is not None
    assert review.boxes.draft.extent is not None
    last = review.boxes.draft.extent[1]
    field = review.boxes.panel.last_field
    field.selectAll()
    QTest.keyClicks(field, str(last + 2))
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert review.boxes.draft.extent[1] == last + 1
    number = review.viewer.window._qt_window.findChild(QLineEdit, "lens-slice")
    number.selectAll()
    QTest.keyClicks(number, str(last + 1))
    QTest.keyClick(number, Qt.Key.Key_Return)
    assert slice_on_screen(review) == last
    assert review.boxes.draft is not None
    assert review.session.pending == 0


def test_an_adjusted_lesion_that_is_accepted_again_keeps_its_box(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    first = asked(review)
    press(Qt.Key.Key_Up, SHIFT)
    press(Qt.Key.Key_Y)
    asked(review)
    press(Qt.Key.Key_K)
    assert asked(review) == first
    press(Qt.Key.Key_Y)
    assert wait_saved(review, PATIENCE_SECONDS)
    one, again = history_on_disk(project_folder)
    assert again.verdict is Verdict.ADJUSTED
    assert again.decision.slices == one.decision.slices


def test_a_lesion_is_drawn_and_seen_and_listed_and_undone_and_drawn_again(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    first = asked(review)
    (x1, y1), (x2, y2) = free_place(review)
    draw_lesion(review, press)
    press(Qt.Key.Key_Down, SHIFT)
    index = slice_on_screen(review)
    press(Qt.Key.Key_Return)
    assert any(box == pytest.approx((x1, y1, x2, y2), abs=0.4) for box in on_screen(review))
    assert asked(review) == first
    assert review.boxes.panel.drawn_list.count() == 1
    assert f"slices {index + 1} to {index + 2}" in review.boxes.panel.drawn_list.item(0).text()
    assert said_on_disk(review, project_folder) == [(Verdict.ADDED, None)]
    press(Qt.Key.Key_Z, CONTROL)
    assert review.boxes.panel.drawn_list.count() == 0
    press(Qt.Key.Key_Y, CONTROL)
    assert review.boxes.panel.drawn_list.count() == 1
    verdicts = [verdict for verdict, _ in said_on_disk(review, project_folder)]
    assert verdicts == [Verdict.ADDED, Verdict.WITHDRAWN, Verdict.ADDED]


def test_the_detector_helps_with_the_slices_of_a_drawn_lesion(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    asked(review)
    loaded = review.view.loaded
    assert loaded is not None
    longest = max(loaded.findings, key=lambda finding: len(finding.slices))
    section = middle_section(longest.slices)
    press(Qt.Key.Key_F, SHIFT)
    assert notice(review) == NO_BOX
    press(Qt.Key.Key_D, SHIFT)
    review.view.go_to_slice(section.slice_index)
    x1, y1, x2, y2 = section.box
    drag(review, (x1, y1), (x2, y2))
    press(Qt.Key.Key_F, SHIFT)
    assert "as the detector sees it" in notice(review)
    press(Qt.Key.Key_Return)
    assert wait_saved(review, PATIENCE_SECONDS)
    (said,) = [one.decision for one in history_on_disk(project_folder)]
    assert [one.slice_index for one in said.slices] == [one.slice_index for one in longest.slices]


def test_undo_takes_verdicts_and_drawings_back_in_their_order(review: ReviewController, press: Press) -> None:
    draw_lesion(review, press)
    press(Qt.Key.Key_Y)
    first = asked(review)
    press(Qt.Key.Key_N)
    asked(review)
    press(Qt.Key.Key_Z, CONTROL)
    assert asked(review) == first
    assert review.session.tally().rejected == 0
    assert review.boxes.panel.drawn_list.count() == 1
    press(Qt.Key.Key_Z, CONTROL)
    assert review.boxes.panel.drawn_list.count() == 0
    press(Qt.Key.Key_Y, CONTROL)
    assert (review.boxes.panel.drawn_list.count(), review.session.tally().rejected) == (1, 0)
    press(Qt.Key.Key_Y, CONTROL)
    assert review.session.tally().rejected == 1


def test_a_drawn_lesion_is_confirmed_near_the_picture_as_verdicts_are(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    line = review.viewer.window._qt_viewer.canvas.native.findChild(Confirmation)
    draw_lesion(review, press)
    number = slice_on_screen(review) + 1
    press(Qt.Key.Key_Y)
    assert line.text() == f"drawn lesion, slice {number}: added ○"
    assert wait_until(lambda: line.text() == f"drawn lesion, slice {number}: added ✓", PATIENCE_SECONDS)
    press(Qt.Key.Key_Z, CONTROL)
    assert wait_until(lambda: line.text() == f"drawn lesion, slice {number}: deleted ✓", PATIENCE_SECONDS)
    assert wait_saved(review, PATIENCE_SECONDS)


def test_a_drawn_lesion_is_chosen_typed_changed_and_deleted(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    draw_lesion(review, press)
    press(Qt.Key.Key_Y)
    assert wait_saved(review, PATIENCE_SECONDS)
    drawn = review.boxes.panel.drawn_list

    def click() -> None:
        QTest.mouseClick(drawn.viewport(), LEFT, NO_MODIFIER, drawn.visualItemRect(drawn.item(0)).center())

    click()
    press(Qt.Key.Key_N)
    assert "drawn lesion is chosen" in notice(review)
    press(Qt.Key.Key_F5)
    assert LESION_TYPE in drawn.item(0).text()
    click()
    press(Qt.Key.Key_E, SHIFT)
    press(Qt.Key.Key_Up, SHIFT)
    press(Qt.Key.Key_Y)
    click()
    press(Qt.Key.Key_X, SHIFT)
    assert drawn.count() == 0
    assert said_on_disk(review, project_folder) == [
        (Verdict.ADDED, None),
        (Verdict.WITHDRAWN, None),
        (Verdict.ADDED, LESION_TYPE),
        (Verdict.WITHDRAWN, None),
        (Verdict.ADDED, LESION_TYPE),
        (Verdict.WITHDRAWN, None),
    ]


def test_a_deletion_that_could_not_be_written_is_brought_back_so_that_one_key_deletes_again(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    draw_lesion(review, press)
    press(Qt.Key.Key_Y)
    assert wait_saved(review, PATIENCE_SECONDS)
    here = review.shown_series
    assert here is not None
    (drawn,) = review.boxes.drawn.of_series(here.id)
    review.boxes.choose(drawn.number)
    with closing(sqlite3.connect(project_folder / "store" / "lens.sqlite", isolation_level=None)) as database:
        database.execute("CREATE TRIGGER refuse BEFORE INSERT ON decisions BEGIN SELECT RAISE(ABORT, 'refused'); END")
        press(Qt.Key.Key_X, SHIFT)
        assert review.boxes.panel.drawn_list.count() == 0
        assert wait_until(lambda: review.boxes.chosen == drawn.number, PATIENCE_SECONDS)
        database.execute("DROP TRIGGER refuse")
    assert review.boxes.panel.drawn_list.count() == 1
    press(Qt.Key.Key_X, SHIFT)
    assert review.boxes.panel.drawn_list.count() == 0
    assert said_on_disk(review, project_folder) == [(Verdict.ADDED, None), (Verdict.WITHDRAWN, None)]


def test_a_drawn_lesion_is_there_when_its_series_comes_back(review: ReviewController, press: Press) -> None:
    draw_lesion(review, press)
    press(Qt.Key.Key_Y)
    here = review.shown_series
    assert here is not None
    drawn = review.boxes.drawn.of_series(here.id)
    assert wait_saved(review, PATIENCE_SECONDS)
    other = next(record for record in review._series.values() if record != here)
    review.show_series(other.id)
    assert wait_until(lambda: review.shown_series == other, PATIENCE_SECONDS)
    assert review.boxes.panel.drawn_box.isHidden()
    press(Qt.Key.Key_J)
    assert wait_until(lambda: review.shown_series == here and review.is_saved, PATIENCE_SECONDS)
    assert [one.number for one in review.boxes.drawn.of_series(here.id)] == [one.number for one in drawn]


def test_a_box_below_a_voxel_and_one_from_outside_are_refused_in_words(review: ReviewController, press: Press) -> None:
    asked(review)
    (x, y), _ = free_place(review)
    press(Qt.Key.Key_D, SHIFT)
    drag(review, (x, y), (x + 0.4, y + 9))
    assert notice(review) == TOO_SMALL
    review.viewer.reset_view()
    drag(review, (-9.0, 20.0), (30.0, 40.0))
    assert notice(review) == BEGIN_INSIDE
    press(Qt.Key.Key_Return)
    assert "Nothing is drawn yet" in notice(review)
    assert review.boxes.draft is not None
    assert review.boxes.draft.slices == ()
    assert review.boxes.drawn.undo_act == 0


@pytest.mark.parametrize("key_there", [Qt.Key.Key_Y, Qt.Key.Key_Escape, Qt.Key.Key_E])
def test_a_box_in_work_waits_while_another_series_is_on_screen(
    review: ReviewController, press: Press, key_there: Qt.Key
) -> None:
    draw_lesion(review, press)
    here, draft = review.shown_series, review.boxes.draft
    assert here is not None
    other = next(record for record in review._series.values() if record != here)
    review.show_series(other.id)
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Y, Qt.Key.Key_Escape):
        press(key)
        assert notice(review) == SCAN_LOADS
    press(Qt.Key.Key_Up, SHIFT)
    assert wait_until(lambda: review.shown_series == other and not review.view.is_loading, PATIENCE_SECONDS)
    drag(review, (20.0, 20.0), (30.0, 30.0))
    assert review.boxes.draft == draft
    press(key_there, SHIFT if key_there == Qt.Key.Key_E else NO_MODIFIER)
    assert notice(review) == ANOTHER_SERIES
    assert wait_until(lambda: review.shown_series == here and not review.view.is_loading, PATIENCE_SECONDS)
    assert review.boxes.draft == draft
    assert review.boxes.drawn.undo_act == 0


def test_a_box_beyond_the_picture_is_brought_back_before_it_is_kept(review: ReviewController, press: Press) -> None:
    draw_lesion(review, press)
    review.viewer.scene.camera.center = (0.0, 5_000.0, 5_000.0)
    press(Qt.Key.Key_Y)
    assert "Brought the lesion back" in notice(review)
    assert review.boxes.drawn.undo_act == 0
    press(Qt.Key.Key_Y)
    assert review.boxes.panel.drawn_list.count() == 1


@pytest.mark.parametrize("key", [Qt.Key.Key_N, Qt.Key.Key_U, Qt.Key.Key_J, Qt.Key.Key_K])
def test_a_changed_box_is_not_lost_by_another_key(review: ReviewController, press: Press, key: Qt.Key) -> None:
    first = asked(review)
    press(Qt.Key.Key_Up, SHIFT)
    draft = review.boxes.draft
    press(key)
    assert "A box is in work" in notice(review)
    assert review.boxes.draft == draft
    assert asked(review) == first
    assert review.session.pending == 0


def test_a_list_that_is_read_again_waits_for_the_box_in_work(review: ReviewController, press: Press) -> None:
    draw_lesion(review, press)
    session, draft = review.session, review.boxes.draft
    review.reload()
    assert wait_until(lambda: review.is_saved, PATIENCE_SECONDS)
    assert (review.session, review.boxes.draft) == (session, draft)
    assert not review.worklist.reload_button.isHidden()


def test_adjusted_and_drawn_lesions_are_labels_and_known_to_the_next_mining(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    draw_lesion(review, press)
    press(Qt.Key.Key_F5)
    asked(review)
    press(Qt.Key.Key_Up, SHIFT)
    press(Qt.Key.Key_Y)
    assert wait_saved(review, PATIENCE_SECONDS)
    said = {one.verdict: one for one in history_on_disk(project_folder)}
    database = Database.open(Project.open(project_folder))
    snapshot = Snapshots(database).compose(LabelSet.CURATED)
    known = lesions_of_series(database, said[Verdict.ADDED].decision.series_id).decided
    database.close()
    labels = {
        lesion.box: lesion
        for series in snapshot.series
        for lesion in series.lesions
        if lesion.origin is LesionOrigin.DECISION and lesion.role is LesionRole.POSITIVE
    }
    assert set(labels) == {said[Verdict.ADDED].box, said[Verdict.ADJUSTED].box}
    assert labels[said[Verdict.ADDED].box].experts == ("universal", "lung")
    assert {lesion.box for lesion in known} == set(labels)


def test_a_length_is_measured_in_millimetres_and_goes_with_escape_or_the_slice(
    review: ReviewController, press: Press
) -> None:
    asked(review)
    start, end = free_place(review)
    _, sy, sx = review.view.layers.spacing_mm
    expected = (((end[0] - start[0]) * sx) ** 2 + ((end[1] - start[1]) * sy) ** 2) ** 0.5
    for let_go in (
        lambda: press(Qt.Key.Key_Escape),
        lambda: review.view.go_to_slice(slice_on_screen(review) + 1),
    ):
        press(Qt.Key.Key_R, SHIFT)
        drag(review, start, end)
        (ruler,) = review.boxes.lengths.rulers
        assert ruler.length_mm == pytest.approx(expected, abs=1.0)
        assert notice(review) == ruler.words
        let_go()
        assert review.boxes.lengths.rulers == ()
    assert review.boxes.draft is None


def test_lengths_of_anisotropic_pixels_are_right(review: ReviewController, press: Press, viewer: Any) -> None:
    asked(review)
    assert review.view.loaded is not None
    layers = review.view.layers
    layers._spacing_mm = (8.0, 3.0, 1.0)
    for layer in (layers.image, *layers.boxes.values()):
        layer.scale = layers.spacing_mm
    viewer.reset_view()
    press(Qt.Key.Key_R, SHIFT)
    drag(review, (40.0, 40.0), (44.0, 41.0))
    (ruler,) = review.boxes.lengths.rulers
    assert ruler.length_mm == pytest.approx(5.0, abs=0.6)


def across(review: ReviewController) -> tuple[tuple[Voxel, Voxel], tuple[Voxel, Voxel]]:
    """Return the ends of a long and of a short axis of the lesion asked about, as a reader drags them."""
    x1, y1, x2, y2 = asked_section(review).box
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return ((x - 6, y), (x + 6, y)), ((x, y - 3), (x, y + 3))


def measure(review: ReviewController, press: Press, ends: tuple[Voxel, Voxel]) -> None:
    press(Qt.Key.Key_R, SHIFT)
    drag(review, *ends)


def axes_on_disk(review: ReviewController, folder: Path) -> list[tuple[Verdict, int]]:
    """Return with which verdicts how many axes are stored."""
    assert wait_saved(review, PATIENCE_SECONDS)
    axes = [(one.verdict, one.decision.axes) for one in history_on_disk(folder)]
    return [(verdict, 0 if one is None else 2 if one.short_axis else 1) for verdict, one in axes]


def test_two_lengths_on_the_lesion_are_its_axes_and_go_with_the_verdict(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    first, section = asked(review), asked_section(review)
    long, short = across(review)
    label = review.lesion_panel.comment_box.axes_label
    measure(review, press, short)
    assert "it goes with your verdict" in notice(review)
    measure(review, press, long)
    assert review.boxes.lengths.rulers == ()
    assert "not said yet" in label.text()
    marks = review.boxes._drags.marks.layer
    assert marks.nshapes == 4
    review.view.go_to_slice(section.slice_index + 1)
    assert marks.nshapes == 0
    review.view.go_to_slice(section.slice_index)
    assert marks.nshapes == 4
    press(Qt.Key.Key_Y)
    assert asked(review) != first
    assert marks.nshapes == 0
    assert label.isHidden()
    assert axes_on_disk(review, project_folder) == [(Verdict.ACCEPTED, 2)]
    axes = history_on_disk(project_folder)[0].decision.axes
    assert axes is not None
    assert axes.long_axis == pytest.approx((*long[0], *long[1]), abs=0.6)
    press(Qt.Key.Key_K)
    assert asked(review) == first
    assert marks.nshapes == 4
    assert f"drawn by {review.settings.reader}" in label.text()


def test_axes_of_a_decided_lesion_are_decisions_more_and_undo_takes_them_back_one_by_one(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    accept_and_go_back(review, press)
    for ends in across(review):
        measure(review, press, ends)
    assert "added to what was said" in notice(review)
    said = [(Verdict.ACCEPTED, 0), (Verdict.ACCEPTED, 1), (Verdict.ACCEPTED, 2)]
    assert axes_on_disk(review, project_folder) == said
    press(Qt.Key.Key_Z, CONTROL)
    press(Qt.Key.Key_Z, CONTROL)
    assert review.boxes._drags.marks.layer.nshapes == 0
    assert axes_on_disk(review, project_folder) == [*said, (Verdict.ACCEPTED, 1), (Verdict.ACCEPTED, 0)]


def test_axes_of_a_decided_lesion_are_taken_off_and_undo_brings_them_back(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    accept_and_go_back(review, press)
    measure(review, press, across(review)[0])
    marks, label = review.boxes._drags.marks.layer, review.lesion_panel.comment_box.axes_label
    press(Qt.Key.Key_R, Qt.KeyboardModifier.AltModifier)
    assert notice(review) == AXES_REMOVED
    assert (marks.nshapes, label.text()) == (0, "")
    said = [(Verdict.ACCEPTED, 0), (Verdict.ACCEPTED, 1), (Verdict.ACCEPTED, 0)]
    assert axes_on_disk(review, project_folder) == said
    press(Qt.Key.Key_R, Qt.KeyboardModifier.AltModifier)
    assert notice(review) == NO_AXES
    press(Qt.Key.Key_Z, CONTROL)
    assert marks.nshapes == 2
    assert axes_on_disk(review, project_folder) == [*said, (Verdict.ACCEPTED, 1)]


def test_axes_that_wait_are_taken_back_length_by_length_or_let_go(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    asked(review)
    long, short = across(review)
    measure(review, press, long)
    marks = review.boxes._drags.marks.layer
    measure(review, press, short)
    press(Qt.Key.Key_Z, CONTROL)
    assert marks.nshapes == 2
    press(Qt.Key.Key_R, SHIFT)
    press(Qt.Key.Key_Escape)
    assert marks.nshapes == 2
    press(Qt.Key.Key_Escape)
    assert marks.nshapes == 0
    press(Qt.Key.Key_Y)
    assert axes_on_disk(review, project_folder) == [(Verdict.ACCEPTED, 0)]


def test_axes_of_a_drawn_lesion_go_with_its_box_and_are_changed_when_it_is_chosen(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    draw_lesion(review, press)
    start, end = free_place(review)
    measure(review, press, (start, end))
    press(Qt.Key.Key_Return)
    assert axes_on_disk(review, project_folder) == [(Verdict.ADDED, 1)]
    assert review.shown_series is not None
    (drawn,) = review.boxes.drawn.of_series(review.shown_series.id)
    review.boxes.choose(drawn.number)
    marks = review.boxes._drags.marks.layer
    assert marks.nshapes == 2
    measure(review, press, ((start[0], end[1]), (end[0], start[1])))
    assert marks.nshapes == 4
    said = [(Verdict.ADDED, 1), (Verdict.WITHDRAWN, 0), (Verdict.ADDED, 2)]
    assert axes_on_disk(review, project_folder) == said
    press(Qt.Key.Key_R, Qt.KeyboardModifier.AltModifier)
    assert axes_on_disk(review, project_folder) == [*said, (Verdict.WITHDRAWN, 0), (Verdict.ADDED, 0)]


def test_handles_have_one_size_on_the_screen(review: ReviewController, press: Press) -> None:
    asked(review)
    press(Qt.Key.Key_E, SHIFT)
    sizes = []
    for _ in range(2):
        assert wait_until(lambda: bool(review.boxes._drags.marks.layer.nshapes), PATIENCE_SECONDS)
        corners = review.boxes._drags.marks.layer.data[0]
        sizes.append((corners[1][2] - corners[0][2]) * review.viewer.scene.camera.zoom)
        review.viewer.scene.camera.zoom *= 2
        QTest.qWait(200)
    assert review.boxes._drags.marks.layer.nshapes == 8
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)
    press(Qt.Key.Key_Escape)
    assert review.boxes._drags.marks.layer.nshapes == 0
