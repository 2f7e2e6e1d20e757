"""A series is marked as completely annotated, by real clicks and keys in a real window."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from support.projects.readings import BOX, OTHER, read
from support.projects.review_project import add_held_out_series, series_on_disk
from support.window.widgets import choose

from lens_engine.project import Project
from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.labels.completeness import unmark_complete
from lens_napari import commands
from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_saved, wait_until

PATIENCE_SECONDS = 30.0
LEFT = Qt.MouseButton.LeftButton
Press = Callable[..., None]


@pytest.fixture
def held_out(project_folder: Path) -> SeriesRecord:
    return add_held_out_series(project_folder)


@pytest.fixture
def review(viewer: Any, project_folder: Path, held_out: SeriesRecord) -> Iterator[ReviewController]:
    """Open the review and look at the series that is held out."""
    controller = open_project(project_folder, viewer, start_worker=False)
    assert wait_ready(controller, PATIENCE_SECONDS)
    look_at(controller, held_out)
    yield controller
    controller.close()


def look_at(review: ReviewController, record: SeriesRecord) -> None:
    choose(review.worklist.series_box.list_box, record.id)
    assert wait_until(lambda: shown_id(review) == record.id, PATIENCE_SECONDS)


def click(review: ReviewController) -> None:
    box = review.worklist.series_box.complete_box
    QTest.mouseClick(box, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(8, box.height() // 2))


def shown_id(review: ReviewController) -> int | None:
    return review.shown_series.id if review.shown_series else None


def has_part(folder: Path, record: SeriesRecord, part: str | None) -> bool:
    stored = series_on_disk(folder, record.id)
    return (stored.is_complete, stored.test_set_part) == (part is not None, part)


def test_a_click_marks_the_series_on_screen_and_another_one_takes_it_back(
    review: ReviewController, held_out: SeriesRecord, project_folder: Path
) -> None:
    series_box = review.worklist.series_box
    assert not series_box.is_complete
    click(review)
    assert series_box.note_label.text() == "○ being saved"
    assert wait_saved(review, PATIENCE_SECONDS)
    assert has_part(project_folder, held_out, "test")
    assert "1 lesion in 3D" in series_box.note_label.text()
    assert series_box.list_box.currentText() == f"{held_out.name} · test ✓"
    click(review)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert has_part(project_folder, held_out, None)
    assert series_box.list_box.currentText() == f"{held_out.name} · test"
    assert not series_box.is_complete


def test_a_marked_series_can_be_measured_on_at_once(review: ReviewController) -> None:
    label = review.retrain_panel.measure_label
    click(review)
    assert wait_until(lambda: label.text().startswith("1 complete held-out series"), PATIENCE_SECONDS)


def test_the_key_marks_and_takes_back(
    review: ReviewController, press: Press, held_out: SeriesRecord, project_folder: Path
) -> None:
    press(Qt.Key.Key_C, Qt.KeyboardModifier.ShiftModifier)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert has_part(project_folder, held_out, "test")
    press(Qt.Key.Key_C, Qt.KeyboardModifier.ShiftModifier)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert has_part(project_folder, held_out, None)


def test_the_last_of_several_quick_marks_holds(
    review: ReviewController, held_out: SeriesRecord, project_folder: Path
) -> None:
    for _ in range(3):
        click(review)
    assert review.worklist.series_box.is_complete
    assert wait_saved(review, PATIENCE_SECONDS)
    assert review.worklist.series_box.is_complete
    assert has_part(project_folder, held_out, "test")


def test_the_commands_of_the_palette_mark_and_take_back(
    review: ReviewController, held_out: SeriesRecord, project_folder: Path
) -> None:
    for command, part in ((commands.mark_complete, "test"), (commands.unmark_complete, None)):
        command()
        assert wait_saved(review, PATIENCE_SECONDS)
        assert has_part(project_folder, held_out, part)


def test_the_count_of_one_reading_is_told_to_nobody(
    review: ReviewController, press: Press, held_out: SeriesRecord, project_folder: Path
) -> None:
    database = Database.open(Project.open(project_folder))
    read(database, held_out.id, "Anna", BOX, OTHER)
    unmark_complete(database, held_out.id)
    database.close()
    press(Qt.Key.Key_C, Qt.KeyboardModifier.ShiftModifier)
    assert wait_saved(review, PATIENCE_SECONDS)
    told = review.worklist.series_box.note_label.text()
    assert "its lesions are those of a reading; measured on" in told
    assert "lesions in 3D" not in told


def test_a_series_that_is_learned_from_is_refused_in_words(review: ReviewController, press: Press) -> None:
    press(Qt.Key.Key_G)
    assert wait_ready(review, PATIENCE_SECONDS)
    series_box = review.worklist.series_box
    click(review)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert "val and test patients only" in series_box.note_label.text()
    assert not series_box.is_complete


def test_a_mark_that_the_disk_refuses_is_shown_as_not_set(
    review: ReviewController, held_out: SeriesRecord, project_folder: Path
) -> None:
    database = sqlite3.connect(project_folder / "store" / "lens.sqlite")
    database.execute("CREATE TRIGGER refuse BEFORE UPDATE ON series BEGIN SELECT RAISE(ABORT, 'refused'); END")
    database.commit()
    database.close()
    click(review)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert not review.worklist.series_box.is_complete
    assert review.worklist.series_box.note_label.text() not in ("", "○ being saved")
    assert has_part(project_folder, held_out, None)


def test_every_series_shows_its_own_mark(review: ReviewController, press: Press, held_out: SeriesRecord) -> None:
    click(review)
    press(Qt.Key.Key_G)
    assert wait_ready(review, PATIENCE_SECONDS)
    assert not review.worklist.series_box.is_complete
    look_at(review, held_out)
    assert review.worklist.series_box.is_complete
