"""Two readings that differ, settled by real keys, with decisions in a real database."""

from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget
from support.projects.readings import read

from lens_engine.findings import Box3D, Split
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.labels.completeness import MeasuredSeries, measured_series, said_of
from lens_engine.store.readings.readings import Readings
from lens_engine.store.readings.records import ReadingRecord, ReadingRound
from lens_napari.demo.waiting import wait_until
from lens_napari.review.box_table import ANNOTATIONS, CANDIDATES
from lens_napari.review.readings.wording import (
    ADJUDICATED,
    ALREADY_COMPLETE,
    NOT_MARKED,
    NOTHING_DISPUTED,
    SETTLED_AGAIN,
    STILL_SAVING,
)
from lens_napari.review.settings import TestSetKeys, spoken
from lens_napari.review.wording import NOTHING_TO_REDO, NOTHING_TO_UNDO
from lens_napari.sections.planes import Plane
from lens_napari.test_set.adjudication_controller import READERS, AdjudicationController
from lens_napari.test_set.window import open_adjudication
from lens_napari.viewer.palette import READER_COLOURS

PATIENCE_SECONDS = 60.0
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
BOTH: Box3D = (30.0, 30.0, 2.0, 45.0, 42.0, 5.0)
OF_A: Box3D = (50.0, 50.0, 10.0, 62.0, 60.0, 13.0)
LARGE: Box3D = (20.0, 50.0, 16.0, 40.0, 70.0, 20.0)
SMALL: Box3D = (25.0, 55.0, 17.0, 33.0, 63.0, 19.0)
"""At the place of `LARGE`, too small to be the same box."""
Press = Callable[..., None]
Drag = Callable[[tuple[float, float], tuple[float, float]], None]


@pytest.fixture
def disputed(held_out: Path) -> Path:
    """Return the project; Anna and Bert have read its first scan and differ at two places."""
    database = Database.open(Project.open(held_out))
    read(database, 1, "Anna", BOTH, OF_A, LARGE)
    read(database, 1, "Bert", BOTH, SMALL)
    database.close()
    return held_out


@pytest.fixture
def judge(viewer: Any, disputed: Path) -> Iterator[AdjudicationController]:
    controller = open_adjudication(disputed, viewer)
    assert wait_until(lambda: controller.place is not None and controller.is_saved, PATIENCE_SECONDS)
    yield controller
    controller.close()


@pytest.fixture
def reading(judge: AdjudicationController) -> AdjudicationController:
    """Return the window in which `drag` drags."""
    return judge


@pytest.fixture
def press(judge: AdjudicationController) -> Press:
    canvas = judge.viewer.window._qt_viewer.canvas.native

    def press_key(key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(canvas, key, modifier)
        assert wait_until(lambda: judge.is_saved, PATIENCE_SECONDS)

    return press_key


def on_disk(folder: Path) -> tuple[ReadingRecord, tuple[Box3D, ...], MeasuredSeries]:
    """Return the adjudication, what is true of the scan, and what is measured on, over a connection of its own."""
    database = Database.open(Project.open(folder))
    (reading,) = (one for one in Readings(database).all() if one.round is ReadingRound.ADJUDICATION)
    found = reading, tuple(one.box for one in said_of(database, 1).decisions), measured_series(database, Split.TEST)
    database.close()
    return found


def notice(judge: AdjudicationController) -> str:
    return str(judge.work_panel.notice_label.text())


def boxes_of(judge: AdjudicationController, group: str) -> int:
    """Return how many cross-sections of a group there are."""
    drawing = judge.view.drawing
    assert drawing is not None
    return int(np.count_nonzero(drawing.table.group_index == drawing.table.groups.index(group)))


def loud(judge: AdjudicationController) -> set[str]:
    """Return whose box is thick, in the picture and in the sections."""
    drawing = judge.view.drawing
    assert drawing is not None
    (number,) = drawing.states
    return {drawing.table.groups[i] for i in drawing.table.group_index[drawing.table.lesion == number]}


def test_the_first_place_comes_on_screen_with_the_boxes_of_both_readers_and_none_of_a_model(
    judge: AdjudicationController,
) -> None:
    assert judge.place is not None
    assert [one.box for one in judge.place.marked] == [OF_A]
    assert judge.work_panel.list.count() == 2
    assert set(judge.view.layers.groups) == {*READERS, ANNOTATIONS, CANDIDATES}
    assert (boxes_of(judge, READERS[0]), boxes_of(judge, READERS[1]), boxes_of(judge, CANDIDATES)) == (7, 2, 0)
    shown = judge.view.slice_on_screen
    assert shown is not None
    assert OF_A[2] <= shown[0] < OF_A[5]
    assert judge.view.loaded is not None
    assert judge.view.loaded.findings == ()


def test_each_place_is_settled_by_one_key_and_then_the_series_is_measured_on(
    judge: AdjudicationController, press: Press, disputed: Path
) -> None:
    assert on_disk(disputed)[2].disputed != ()
    press(Qt.Key.Key_N)
    assert judge.place is not None
    assert [one.box for one in judge.place.marked] == [LARGE, SMALL]
    press(Qt.Key.Key_B)
    press(Qt.Key.Key_Y)
    assert "C completes the series" in notice(judge)
    assert not on_disk(disputed)[0].is_complete
    press(Qt.Key.Key_C)
    assert wait_until(lambda: notice(judge) == ADJUDICATED, PATIENCE_SECONDS)
    reading, truth, measured = on_disk(disputed)
    assert reading.is_complete
    assert truth == (BOTH, SMALL)
    assert ([one.id for one in measured.series], measured.disputed) == ([1], ())
    assert "0 left · 1 complete" in judge.list_panel.tally_label.text()


def test_a_box_is_adjusted_before_it_is_said_to_be_a_lesion(
    judge: AdjudicationController, press: Press, disputed: Path
) -> None:
    press(Qt.Key.Key_BracketLeft)
    assert judge.boxes.draft is not None
    press(Qt.Key.Key_Y)
    press(Qt.Key.Key_N)
    press(Qt.Key.Key_C)
    x1, y1, z1, x2, y2, z2 = OF_A
    assert on_disk(disputed)[1] == (BOTH, (x1, y1, z1 - 1, x2, y2, z2))


def test_a_reader_who_marked_nothing_has_no_box_to_take(judge: AdjudicationController, press: Press) -> None:
    press(Qt.Key.Key_B)
    assert notice(judge) == NOT_MARKED
    assert [one.isEnabled() for one in judge.work_panel.box_buttons] == [True, False]
    assert loud(judge) == {READERS[0]}
    press(Qt.Key.Key_J)
    press(Qt.Key.Key_B)
    assert loud(judge) == {READERS[1]}
    assert [one.isEnabled() for one in judge.work_panel.box_buttons] == [True, True]


def test_what_was_settled_is_taken_back(judge: AdjudicationController, press: Press, disputed: Path) -> None:
    def settled() -> list[str]:
        return [judge.work_panel.list.item(row).text()[0] for row in range(2)]

    press(Qt.Key.Key_Y)
    press(Qt.Key.Key_K)
    press(Qt.Key.Key_N)
    assert settled() == ["✕", "○"]
    press(Qt.Key.Key_Z, CONTROL)
    assert settled() == ["✓", "○"]
    press(Qt.Key.Key_Z, CONTROL)
    assert settled() == ["○", "○"]
    press(Qt.Key.Key_Z, CONTROL)
    assert notice(judge) == NOTHING_TO_UNDO
    press(Qt.Key.Key_C)
    assert "2 of 2 places" in judge.work_panel.problem_label.text()
    assert not on_disk(disputed)[0].is_complete


@pytest.mark.parametrize(("key", "modifier"), [(Qt.Key.Key_Z, CONTROL | SHIFT), (Qt.Key.Key_Y, CONTROL)])
def test_what_was_taken_back_is_said_again(
    judge: AdjudicationController, press: Press, disputed: Path, key: Qt.Key, modifier: Any
) -> None:
    press(Qt.Key.Key_BracketLeft)
    press(Qt.Key.Key_Y)
    press(Qt.Key.Key_N)
    press(Qt.Key.Key_Z, CONTROL)
    press(Qt.Key.Key_Z, CONTROL)
    assert judge.work_panel.list.item(0).text()[0] == "○"
    press(key, modifier)
    assert notice(judge) == SETTLED_AGAIN
    press(key, modifier)
    press(key, modifier)
    assert notice(judge) == NOTHING_TO_REDO
    press(Qt.Key.Key_C)
    x1, y1, z1, x2, y2, z2 = OF_A
    assert on_disk(disputed)[1] == (BOTH, (x1, y1, z1 - 1, x2, y2, z2))


def test_a_lesion_that_both_readers_have_missed_is_drawn_taken_back_and_true_in_the_end(
    judge: AdjudicationController, press: Press, drag: Drag, disputed: Path
) -> None:
    press(Qt.Key.Key_D)
    drag((70, 30), (80, 40))
    press(Qt.Key.Key_Y)
    assert judge.boxes.panel.drawn_list.count() == 1
    assert judge.place is not None
    assert judge.place.settled is None
    press(Qt.Key.Key_Z, CONTROL)
    assert judge.boxes.panel.drawn_list.count() == 0
    press(Qt.Key.Key_Y, CONTROL)
    press(Qt.Key.Key_N)
    press(Qt.Key.Key_N)
    press(Qt.Key.Key_C)
    assert wait_until(lambda: notice(judge) == ADJUDICATED, PATIENCE_SECONDS)
    reading, (both, missed), _ = on_disk(disputed)
    assert (reading.is_complete, both) == (True, BOTH)
    assert missed == pytest.approx((70, 30, missed[2], 80, 40, missed[2] + 1), abs=1.5)


def test_the_sections_show_what_every_reader_has_marked(judge: AdjudicationController) -> None:
    judge.viewer.show()
    assert wait_until(lambda: judge.planes.panel.is_seen, PATIENCE_SECONDS)
    judge.show_number(1)
    coronal = judge.planes.panel.pictures[Plane.CORONAL]
    assert wait_until(lambda: len(coronal.outlines) > 1, PATIENCE_SECONDS)
    assert {one.colour for one in coronal.outlines} == set(READER_COLOURS)


def test_the_help_key_shows_the_keys_of_an_adjudication(judge: AdjudicationController, press: Press) -> None:
    key_help = judge.viewer.window._qt_window.findChild(QWidget, "lens-key-help")
    assert key_help.isHidden()
    press(Qt.Key.Key_Question, SHIFT)
    assert not key_help.isHidden()
    assert key_help.tour_button.isHidden()
    text = unescape("".join(key_help.lists))
    for key in TestSetKeys().model_dump().values():
        assert spoken(key) in text
    press(Qt.Key.Key_Question, SHIFT)
    assert key_help.isHidden()


def test_a_place_that_cannot_be_written_stays_open_and_that_is_not_forgotten(
    judge: AdjudicationController, press: Press, disputed: Path, writing: Callable[[bool], None]
) -> None:
    writing(False)
    canvas = judge.viewer.window._qt_viewer.canvas.native
    QTest.keyClick(canvas, Qt.Key.Key_Y)
    QTest.keyClick(canvas, Qt.Key.Key_C)
    assert notice(judge) == STILL_SAVING
    assert wait_until(lambda: judge.is_saved, PATIENCE_SECONDS)
    press(Qt.Key.Key_J)
    problem = judge.work_panel.problem_label
    assert "refused" in problem.text()
    assert not on_disk(disputed)[0].is_complete
    writing(True)
    press(Qt.Key.Key_Y)
    assert problem.text() == ""


def test_a_verdict_acts_only_on_a_place_that_is_seen(judge: AdjudicationController, press: Press) -> None:
    judge.view.go_to_slice(0)
    press(Qt.Key.Key_Y)
    assert judge.place is not None
    assert judge.place.settled is None
    shown = judge.view.slice_on_screen
    assert shown is not None
    assert OF_A[2] <= shown[0] < OF_A[5]


def test_a_complete_adjudication_is_changed_only_after_that_was_taken_back(
    judge: AdjudicationController, press: Press, disputed: Path
) -> None:
    press(Qt.Key.Key_N)
    press(Qt.Key.Key_N)
    press(Qt.Key.Key_C)
    assert wait_until(lambda: notice(judge) == ADJUDICATED and judge.is_saved, PATIENCE_SECONDS)
    press(Qt.Key.Key_Y)
    assert notice(judge) == ALREADY_COMPLETE
    judge.work_panel.complete_button.click()
    assert wait_until(lambda: judge.is_saved, PATIENCE_SECONDS)
    assert not on_disk(disputed)[0].is_complete
    press(Qt.Key.Key_Y)
    assert judge.place is not None
    assert [one.settled is not None for one in (judge.place,)] == [True]


def test_where_readers_agree_there_is_nothing_to_adjudicate(viewer: Any, held_out: Path) -> None:
    database = Database.open(Project.open(held_out))
    for name in ("Anna", "Bert"):
        read(database, 1, name, BOTH)
    database.close()
    nothing = open_adjudication(held_out, viewer)
    assert wait_until(lambda: nothing.is_saved, PATIENCE_SECONDS)
    assert nothing.list_panel.tally_label.text() == NOTHING_DISPUTED
    nothing.close()
