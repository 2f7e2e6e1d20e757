"""The test set read by real keys and drags, with readings in a real database."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget, QLabel, QToolBar, QWidget
from support.processes.command_line import lens
from support.projects.readings import read

from lens_engine.findings import FUSED
from lens_engine.project import Project
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import DecisionRecord, Decisions
from lens_engine.store.readings.readings import Readings
from lens_engine.store.readings.records import ReadingRecord
from lens_napari.application import end_work_in, open_project, open_review
from lens_napari.demo.marker import MARKER
from lens_napari.demo.waiting import wait_ready, wait_until
from lens_napari.editing.draft import NEW_LESION
from lens_napari.open_project import OpenProjectWidget
from lens_napari.review.box_table import ANNOTATIONS, CANDIDATES
from lens_napari.review.readings.wording import (
    NOTHING_LEFT,
    PRESS_AGAIN,
    SHOW_AIDS,
    STILL_SAVING,
    is_complete_words,
)
from lens_napari.review.settings import spoken
from lens_napari.review.wording import NOTHING_TO_UNDO
from lens_napari.test_set.controller import TestSetController
from lens_napari.test_set.window import open_adjudication, open_test_set
from lens_napari.tour.tour import NAME as TOUR

PATIENCE_SECONDS = 60.0
LEFT = Qt.MouseButton.LeftButton
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
Press = Callable[..., None]
Drag = Callable[[tuple[float, float], tuple[float, float]], None]


def on_disk(folder: Path) -> list[tuple[ReadingRecord, tuple[DecisionRecord, ...]]]:
    """Read every reading with its lesions over a connection of its own."""
    database = Database.open(Project.open(folder))
    readings = Readings(database)
    found = [(one, readings.lesions(one.id)) for one in readings.all()]
    assert Decisions(database).current() == ()
    database.close()
    return found


def arrived(reading: TestSetController, series_id: int) -> bool:
    return wait_until(
        lambda: reading.reading is not None and reading.reading.series_id == series_id and reading.is_saved,
        PATIENCE_SECONDS,
    )


def notice(reading: TestSetController) -> str:
    return str(reading.work_panel.notice_label.text())


def draw(press: Press, drag: Drag, start: tuple[float, float] = (30, 30), end: tuple[float, float] = (45, 42)) -> None:
    press(Qt.Key.Key_D)
    drag(start, end)
    press(Qt.Key.Key_Y)


def test_the_first_sub_volume_that_is_left_comes_on_screen_blind(reading: TestSetController, held_out: Path) -> None:
    assert [item.series.id for item in reading.items] == [1, 2]
    assert reading.reading is not None
    assert (reading.reading.series_id, reading.reading.is_blind) == (1, True)
    drawing = reading.view.drawing
    assert drawing is not None
    assert set(reading.view.layers.groups) == {FUSED, ANNOTATIONS, CANDIDATES}
    assert {drawing.table.groups[i] for i in drawing.table.group_index} == {ANNOTATIONS}
    assert reading.view.loaded is not None
    assert reading.view.loaded.findings == reading.view.loaded.candidates == ()
    ((record, lesions),) = on_disk(held_out)
    assert (record.series_id, lesions) == (1, ())


def test_no_word_of_a_score_or_an_expert_is_in_the_window(reading: TestSetController) -> None:
    main = reading.viewer.window._qt_window
    seen = " ".join(one.text() for one in main.findChildren(QLabel))
    for word in ("universal", "lung", "liver", "lymph", "score", "%"):
        assert word not in seen


def test_a_lesion_is_drawn_reaches_over_its_slices_and_is_kept_in_the_reading(
    reading: TestSetController, press: Press, drag: Drag, held_out: Path
) -> None:
    shown = reading.view.slice_on_screen
    assert shown is not None
    press(Qt.Key.Key_D)
    drag((30, 30), (45, 42))
    press(Qt.Key.Key_BracketLeft)
    press(Qt.Key.Key_BracketLeft)
    drawing = reading.view.drawing
    assert drawing is not None
    assert np.count_nonzero(drawing.table.lesion == NEW_LESION) == 3  # in the table, which the sections show
    press(Qt.Key.Key_BracketRight)
    press(Qt.Key.Key_BracketRight, CONTROL)
    press(Qt.Key.Key_BracketRight, CONTROL)
    press(Qt.Key.Key_BracketLeft, CONTROL)
    press(Qt.Key.Key_Y)
    ((record, (lesion,)),) = on_disk(held_out)
    said = lesion.decision
    assert (said.reading_id, said.round, said.scores_hidden) == (record.id, 1, True)
    assert (said.box[2], said.box[5]) == (shown[0] - 1, shown[0] + 2)
    assert said.box[:2] == pytest.approx((30, 30), abs=1.5)
    assert "slices" in reading.boxes.panel.drawn_list.item(0).text()
    assert "mm" in reading.boxes.panel.drawn_list.item(0).text()
    assert "1 lesion marked by you" in reading.work_panel.count_label.text()


def test_the_keys_of_the_review_do_the_same(
    reading: TestSetController, press: Press, drag: Drag, held_out: Path
) -> None:
    press(Qt.Key.Key_D, SHIFT)
    drag((30, 30), (45, 42))
    press(Qt.Key.Key_Up, SHIFT)
    press(Qt.Key.Key_Return)
    ((_, (lesion,)),) = on_disk(held_out)
    assert lesion.box[5] - lesion.box[2] == 2


def test_what_was_marked_is_taken_back_done_again_changed_and_deleted(
    reading: TestSetController, press: Press, drag: Drag, held_out: Path
) -> None:
    def marked() -> list[tuple[float, ...]]:
        return [item.box for item in on_disk(held_out)[0][1]]

    draw(press, drag)
    (first,) = marked()
    press(Qt.Key.Key_Z, CONTROL)
    assert marked() == []
    press(Qt.Key.Key_Y, CONTROL)
    assert marked() == [first]
    panel = reading.boxes.panel
    item = panel.drawn_list.visualItemRect(panel.drawn_list.item(0)).center()
    QTest.mouseClick(panel.drawn_list.viewport(), LEFT, Qt.KeyboardModifier.NoModifier, item)
    press(Qt.Key.Key_BracketLeft)
    press(Qt.Key.Key_Y)
    (changed,) = marked()
    assert changed[2] == first[2] - 1
    reading.boxes.choose(reading.boxes.drawn.of_series(1)[0].number)
    press(Qt.Key.Key_X, SHIFT)
    assert marked() == []
    for _ in range(3):
        press(Qt.Key.Key_Z, CONTROL)
    assert marked() == []
    press(Qt.Key.Key_Z, CONTROL)
    assert notice(reading) == NOTHING_TO_UNDO


def test_complete_goes_to_the_next_one_and_a_scan_without_a_lesion_is_a_normal_one(
    reading: TestSetController, press: Press, drag: Drag, held_out: Path
) -> None:
    draw(press, drag)
    press(Qt.Key.Key_C)
    assert arrived(reading, 2)
    assert "1 lesion" in notice(reading)
    assert "no lesion" in reading.work_panel.complete_button.text()
    reading.work_panel.complete_button.click()
    assert wait_until(lambda: NOTHING_LEFT in notice(reading), PATIENCE_SECONDS)
    assert "no lesion: a normal scan" in notice(reading)
    assert [(one.is_complete, len(lesions)) for one, lesions in on_disk(held_out)] == [(True, 1), (True, 0)]
    assert "0 left · 0 in progress · 2 complete" in reading.list_panel.tally_label.text()


def test_a_scan_whose_lesion_cannot_be_written_is_not_completed_as_a_normal_one(
    reading: TestSetController, press: Press, drag: Drag, held_out: Path, writing: Callable[[bool], None]
) -> None:
    writing(False)
    canvas = reading.viewer.window._qt_viewer.canvas.native
    press(Qt.Key.Key_D)
    drag((30, 30), (45, 42))
    QTest.keyClick(canvas, Qt.Key.Key_Y)
    QTest.keyClick(canvas, Qt.Key.Key_C)
    assert notice(reading) == STILL_SAVING
    assert wait_until(lambda: reading.is_saved, PATIENCE_SECONDS)
    problem = reading.work_panel.problem_label
    assert "refused" in problem.text()
    assert notice(reading) == ""
    ((record, lesions),) = on_disk(held_out)
    assert (record.series_id, record.is_complete, lesions) == (1, False, ())
    writing(True)
    press(Qt.Key.Key_D)
    drag((30, 30), (45, 42))
    assert "refused" in problem.text()
    press(Qt.Key.Key_Y)
    assert problem.text() == ""
    press(Qt.Key.Key_C)
    assert arrived(reading, 2)
    assert [(one.is_complete, len(lesions)) for one, lesions in on_disk(held_out)] == [(True, 1), (False, 0)]


def test_a_box_that_could_not_be_written_is_in_work_again_until_it_is_kept_or_dropped(
    reading: TestSetController, press: Press, drag: Drag, held_out: Path, writing: Callable[[bool], None]
) -> None:
    writing(False)
    draw(press, drag)
    assert "Y tries once more" in reading.work_panel.problem_label.text()
    for _ in range(2):
        press(Qt.Key.Key_C)
        assert "A box is in work" in notice(reading)
    assert not on_disk(held_out)[0][0].is_complete
    writing(True)
    press(Qt.Key.Key_Y)
    press(Qt.Key.Key_C)
    assert arrived(reading, 2)
    assert [(one.is_complete, len(lesions)) for one, lesions in on_disk(held_out)] == [(True, 1), (False, 0)]


def test_of_two_boxes_that_could_not_be_written_none_is_lost(
    reading: TestSetController, drag: Drag, held_out: Path, writing: Callable[[bool], None]
) -> None:
    canvas = reading.viewer.window._qt_viewer.canvas.native
    writing(False)
    with closing(sqlite3.connect(held_out / "store" / "lens.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # nothing is refused before both are drawn
        for start, end in (((30, 30), (45, 42)), ((60, 60), (70, 72))):
            QTest.keyClick(canvas, Qt.Key.Key_D)
            drag(start, end)
            QTest.keyClick(canvas, Qt.Key.Key_Y)
        other.execute("ROLLBACK")
    assert wait_until(lambda: reading.is_saved, PATIENCE_SECONDS)
    writing(True)
    for _ in range(2):
        QTest.keyClick(canvas, Qt.Key.Key_C)
        assert "A box is in work" in notice(reading)
        QTest.keyClick(canvas, Qt.Key.Key_Y)
        assert wait_until(lambda: reading.is_saved, PATIENCE_SECONDS)
    ((_, lesions),) = on_disk(held_out)
    assert [round(one.box[0] / 10) for one in lesions] == [3, 6]


def test_the_help_key_shows_the_keys_of_the_window(reading: TestSetController, press: Press) -> None:
    key_help = reading.viewer.window._qt_window.findChild(QWidget, "lens-key-help")
    press(Qt.Key.Key_Question, SHIFT)
    assert not key_help.isHidden()
    text = unescape("".join(key_help.lists))
    for key in reading.settings.test_set_keys.of_the_review.values():
        assert spoken(key) in text
    assert "lesion asked about" not in text.split("The picture")[0]
    QTest.mouseClick(key_help, LEFT)
    assert key_help.isHidden()


def test_a_complete_sub_volume_is_changed_only_after_that_was_taken_back(
    reading: TestSetController, press: Press, held_out: Path
) -> None:
    press(Qt.Key.Key_C)
    assert arrived(reading, 2)
    press(Qt.Key.Key_K)
    assert arrived(reading, 1)
    press(Qt.Key.Key_D)
    assert notice(reading) == is_complete_words(reading.settings.keys)
    assert reading.boxes.draft is None
    press(Qt.Key.Key_C)
    assert reading.reading is not None
    assert not reading.reading.is_complete
    press(Qt.Key.Key_D)
    assert reading.boxes.draft is not None
    assert not on_disk(held_out)[0][0].is_complete


def test_a_box_in_work_is_kept_or_dropped_before_the_sub_volume_is_complete(
    reading: TestSetController, press: Press, drag: Drag, held_out: Path
) -> None:
    press(Qt.Key.Key_D)
    drag((30, 30), (45, 42))
    press(Qt.Key.Key_C)
    assert "A box is in work" in notice(reading)
    assert not on_disk(held_out)[0][0].is_complete


def test_what_the_model_found_is_shown_at_the_second_press_only_and_that_is_recorded(
    reading: TestSetController, held_out: Path
) -> None:
    panel = reading.work_panel
    panel.aids_button.click()
    assert notice(reading) == PRESS_AGAIN
    assert on_disk(held_out)[0][0].is_blind
    panel.aids_button.click()
    assert wait_until(
        lambda: reading.view.loaded is not None and bool(reading.view.loaded.findings) and reading.is_saved,
        PATIENCE_SECONDS,
    )
    assert not on_disk(held_out)[0][0].is_blind
    assert "Not blind" in panel.lock_label.text()
    drawing = reading.view.drawing
    assert drawing is not None
    assert {drawing.table.groups[i] for i in drawing.table.group_index} == {ANNOTATIONS, FUSED}
    reading.show_series(2)
    assert arrived(reading, 2)
    assert reading.reading is not None
    assert reading.reading.is_blind
    assert panel.aids_button.text() == SHOW_AIDS
    assert reading.view.loaded is not None
    assert reading.view.loaded.findings == ()


def test_a_second_reader_sees_nothing_of_the_first_one(viewer: Any, held_out: Path) -> None:
    database = Database.open(Project.open(held_out))
    box = (30.0, 30.0, 4.0, 45.0, 42.0, 7.0)
    read(database, 1, "first reader", box)
    database.close()
    second = open_test_set(held_out, viewer)
    assert arrived(second, 1)
    assert second.items[0].reading is not None
    assert not second.items[0].reading.is_complete
    assert second.boxes.drawn.of_series(1) == ()
    assert second.boxes.panel.drawn_list.count() == 0
    drawing = second.view.drawing
    assert drawing is not None
    assert {drawing.table.groups[i] for i in drawing.table.group_index} == {ANNOTATIONS}
    main = second.viewer.window._qt_window
    assert not any("first reader" in one.text() for one in main.findChildren(QLabel))
    second.close()


def test_a_sub_volume_that_two_others_have_read_is_closed(viewer: Any, held_out: Path) -> None:
    database = Database.open(Project.open(held_out))
    for name in ("Anna", "Bert"):
        read(database, 1, name)
    database.close()
    third = open_test_set(held_out, viewer)
    assert arrived(third, 2)
    item = third.list_panel.list.item(0)
    assert "read by two others" in item.text()
    assert item.flags() == Qt.ItemFlag.NoItemFlags
    third.close()


def test_a_reader_who_comes_back_goes_on_where_he_was(
    reading: TestSetController, press: Press, drag: Drag, held_out: Path, make_napari_viewer: Callable[[], Any]
) -> None:
    draw(press, drag)
    reading.close()
    again = open_test_set(held_out, make_napari_viewer())
    assert arrived(again, 1)
    assert wait_until(lambda: len(again.boxes.drawn.of_series(1)) == 1, PATIENCE_SECONDS)
    assert [len(lesions) for _, lesions in on_disk(held_out)] == [1]
    again.close()


def test_time_at_work_is_written_with_the_reading(
    reading: TestSetController, press: Press, drag: Drag, held_out: Path
) -> None:
    draw(press, drag)
    QTest.qWait(300)
    main = reading.viewer.window._qt_window
    QApplication.sendEvent(main, QEvent(QEvent.Type.WindowDeactivate))
    reading.close()
    ((record, _),) = on_disk(held_out)
    assert 0.3 < record.seconds < PATIENCE_SECONDS


def test_closing_the_window_ends_the_reading(viewer: Any, held_out: Path) -> None:
    controller = open_test_set(held_out, viewer)
    assert arrived(controller, 1)
    ended = []
    controller.closed.connect(lambda: ended.append(True))
    viewer.window._qt_window.close()
    assert wait_until(lambda: bool(ended), PATIENCE_SECONDS)


def test_a_window_holds_one_work_at_a_time(viewer: Any, held_out: Path) -> None:
    ended: list[str] = []

    def shown() -> set[str]:
        docks = viewer.window._qt_window.findChildren(QDockWidget)
        return {one.windowTitle() for one in docks if one.isVisible()}

    review = open_project(held_out, viewer, start_worker=False)
    review.closed.connect(lambda: ended.append("review"))
    assert wait_ready(review, PATIENCE_SECONDS)
    reading = open_test_set(held_out, viewer)
    reading.closed.connect(lambda: ended.append("reading"))
    assert (ended, open_review()) == (["review"], None)
    assert arrived(reading, 1)
    assert {layer.name for layer in viewer.layers} == {reading.view.layers.image.name, *reading.view.layers.groups}
    judge = open_adjudication(held_out, viewer)
    judge.closed.connect(lambda: ended.append("judge"))
    assert ended == ["review", "reading"]
    again = open_project(held_out, viewer, start_worker=False)
    assert (ended, open_review()) == (["review", "reading", "judge"], again)
    assert wait_ready(again, PATIENCE_SECONDS)
    assert "Test set" not in shown()
    again.close()


def test_the_tour_of_the_demo_belongs_to_its_review(viewer: Any, held_out: Path) -> None:
    (held_out.parent / MARKER).touch()
    widget = OpenProjectWidget()
    viewer.window.add_dock_widget(widget)
    for begin in (open_test_set, open_adjudication):
        widget.work(begin, held_out)
        assert not widget.test_set_button.isEnabled()
        end_work_in(viewer)
        assert widget.test_set_button.isEnabled()
    widget.open(held_out)
    review = open_review()
    assert review is not None
    assert wait_until(lambda: bool(viewer.window._qt_window.findChildren(QToolBar, TOUR)), PATIENCE_SECONDS)
    review.close()


def test_the_widget_of_the_plugin_opens_a_test_set_in_its_window(viewer: Any, held_out: Path) -> None:
    widget = OpenProjectWidget()
    viewer.window.add_dock_widget(widget)
    opened: list[TestSetController] = []

    def begin(folder: Path, into: Any) -> TestSetController:
        opened.append(open_test_set(folder, into))
        return opened[0]

    widget.work(begin, held_out)
    assert arrived(opened[0], 1)
    assert opened[0].viewer is viewer
    assert not widget.test_set_button.isEnabled()
    opened[0].close()
    assert widget.test_set_button.isEnabled()
    widget.work(open_test_set, held_out / "nowhere")
    assert "nowhere" in widget.message_label.text()


def test_two_kinds_of_work_at_once_are_a_wrong_command_line(held_out: Path) -> None:
    refused = lens("review", "--test-set", "--adjudicate", folder=held_out)
    assert refused.returncode == 2
    assert "choose one" in refused.stderr


def test_nobody_is_asked_to_read_scans_that_a_model_learns_from(viewer: Any, project_folder: Path) -> None:
    nothing = open_test_set(project_folder, viewer)
    assert wait_until(lambda: nothing.is_saved, PATIENCE_SECONDS)
    assert nothing.items == ()
    assert "lens add --split test" in nothing.list_panel.tally_label.text()
    nothing.close()


def test_keys_do_one_thing_each(reading: TestSetController) -> None:
    actions = reading.key_actions()
    for key in ("D", "C", "[", "]", "Control-[", "Control-]", "Shift-D", "Shift-C"):
        assert key in actions
    assert Catalog(reading._store.database).series(1).split == "test"
