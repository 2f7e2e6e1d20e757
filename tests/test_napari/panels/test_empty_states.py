"""Where nothing is asked about the window says why, and its button does what helps; real clicks, real queue."""

import shutil
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from sqlalchemy import text
from support.projects.review_project import add_held_out_series
from support.window.widgets import choose

from lens_engine.findings import Rule
from lens_engine.jobs.inputs import JobKind
from lens_engine.project import Project
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_until
from lens_napari.review.next_step import Action

PATIENCE_SECONDS = 60.0


def headline_is(review: ReviewController, headline: str) -> bool:
    return wait_until(lambda: review.lesion_panel.summary_heading.text() == headline, PATIENCE_SECONDS)


def click(review: ReviewController, action: Action) -> None:
    button = review.lesion_panel.step_buttons[action]
    assert not button.isHidden()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def test_scans_that_nobody_has_searched_are_searched_by_the_button(viewer: Any, project_folder: Path) -> None:
    forget_minings(project_folder)
    shutil.rmtree(project_folder / "detections")
    review = open_project(project_folder, viewer, start_worker=False)
    assert headline_is(review, "Not searched yet")
    assert wait_until(lambda: not review.worklist.series_box.search_label.isHidden(), PATIENCE_SECONDS)
    click(review, Action.FIND)
    assert headline_is(review, "Looking for lesions …")
    assert "waits for its turn" in review.lesion_panel.what_next_label.text()
    assert not review.lesion_panel.search_bar.isHidden()
    review.close()


def test_searched_scans_are_mined_by_the_button(viewer: Any, project_folder: Path) -> None:
    forget_minings(project_folder)
    review = open_project(project_folder, viewer, start_worker=False)
    assert headline_is(review, "Searched, not mined yet")
    assert review.worklist.series_box.search_label.isHidden()
    click(review, Action.MINE)
    assert headline_is(review, "Mining …")
    assert [job.kind for job in review.jobs.jobs] == [JobKind.MINE]
    review.close()


def test_a_reason_without_open_lesions_is_not_the_end_of_the_review(review: ReviewController) -> None:
    assert wait_ready(review, PATIENCE_SECONDS)
    choose(review.worklist.filters.rule_box, Rule.CROSS_SLICE)
    assert headline_is(review, "The filter matches nothing")
    click(review, Action.ANY_REASON)
    assert wait_ready(review, PATIENCE_SECONDS)
    assert review.current is not None
    assert review.worklist.filters.rule_box.currentData() is None


def test_a_scan_that_was_never_searched_says_so_beside_the_review(viewer: Any, project_folder: Path) -> None:
    new = add_held_out_series(project_folder)
    review = open_project(project_folder, viewer, start_worker=False)
    assert wait_ready(review, PATIENCE_SECONDS)
    box = review.worklist.series_box
    assert box.search_label.isHidden()
    choose(box.list_box, new.id)
    assert wait_until(lambda: not box.search_label.isHidden(), PATIENCE_SECONDS)
    assert "no boxes" in box.search_label.text()
    search(project_folder, new.id)
    review.next_steps.searched.emit()
    assert wait_until(lambda: not box.show_found_button.isHidden(), PATIENCE_SECONDS)
    QTest.mouseClick(box.show_found_button, Qt.MouseButton.LeftButton)
    assert wait_until(lambda: review.view.loaded is not None and review.view.loaded.is_searched, PATIENCE_SECONDS)
    assert box.show_found_button.isHidden()
    review.close()


def forget_minings(folder: Path) -> None:
    """Leave a project whose only mining was cut off, as before the first one."""
    database = Database.open(Project.open(folder))
    with database.session() as session:
        session.execute(text("UPDATE mining_runs SET whole_at = NULL"))
    database.close()


def search(folder: Path, series_id: int) -> None:
    """Store for one series what was detected in the first."""
    database = Database.open(Project.open(folder))
    detections = Detections(database)
    first = Catalog(database).all_series()[0].id
    detections.write(series_id, "v1", detections.read(first, "v1"))
    database.close()
