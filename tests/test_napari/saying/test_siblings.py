"""A lesion that two series of an examination show: a reader answers once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt
from support.projects.review_project import add_reconstruction, decisions_on_disk, history_on_disk

from lens_engine.findings import Verdict
from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_saved, wait_until
from lens_napari.review.box_table import BoxState

PATIENCE_SECONDS = 120.0
NOTHING, CONTROL = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def siblings(project_folder: Path) -> tuple[int, int]:
    return add_reconstruction(project_folder)


@pytest.fixture
def review(viewer: Any, siblings: tuple[int, int], project_folder: Path) -> Iterator[ReviewController]:
    controller = open_project(project_folder, viewer, start_worker=False)
    assert wait_ready(controller, PATIENCE_SECONDS)
    yield controller
    controller.close()


def settle(review: ReviewController) -> None:
    assert wait_saved(review, PATIENCE_SECONDS)
    assert wait_ready(review, PATIENCE_SECONDS)


def state(review: ReviewController, candidate_id: int) -> BoxState:
    outline = review.session.outline
    (series_id,) = outline.series_ids[outline.ids == candidate_id].tolist()
    return review.session.states_of_series(series_id)[candidate_id]


def test_the_card_says_that_one_answer_counts_for_all(review: ReviewController, siblings: tuple[int, int]) -> None:
    assert review.session.asked_id == siblings[0]
    assert "1 more series of this examination" in review.lesion_panel.why_label.text()


def test_one_key_press_settles_the_lesion_in_both_series(
    review: ReviewController, press: Any, siblings: tuple[int, int], project_folder: Path
) -> None:
    asked, again = siblings
    press(Qt.Key.Key_Y)
    settle(review)
    assert {one.candidate_id: one.verdict for one in decisions_on_disk(project_folder)} == {
        asked: Verdict.ACCEPTED,
        again: Verdict.ACCEPTED,
    }
    assert state(review, again) is BoxState.ACCEPTED
    assert review.session.asked_id not in siblings
    assert (review.session.tally().accepted, review.session.tally().today) == (2, 1)


def test_undo_opens_the_lesion_in_both_series(review: ReviewController, press: Any, siblings: tuple[int, int]) -> None:
    press(Qt.Key.Key_N)
    settle(review)
    press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    settle(review)
    assert review.session.asked_id == siblings[0]
    assert state(review, siblings[1]) is BoxState.PLAIN
    assert review.session.tally().rejected == 0


def test_the_lesion_in_the_other_series_can_be_decided_otherwise(
    review: ReviewController, press: Any, siblings: tuple[int, int], project_folder: Path
) -> None:
    press(Qt.Key.Key_Y)
    settle(review)
    review.worklist.lesion_chosen.emit(siblings[1])
    settle(review)
    press(Qt.Key.Key_N)
    settle(review)
    latest = {one.candidate_id: one.verdict for one in decisions_on_disk(project_folder)}
    assert latest == {siblings[0]: Verdict.ACCEPTED, siblings[1]: Verdict.REJECTED}


def test_two_undos_open_both_after_the_other_one_was_decided_otherwise(
    review: ReviewController, press: Any, siblings: tuple[int, int]
) -> None:
    press(Qt.Key.Key_Y)
    settle(review)
    review.worklist.lesion_chosen.emit(siblings[1])
    settle(review)
    for key, modifier in ((Qt.Key.Key_N, NOTHING), (Qt.Key.Key_Z, CONTROL), (Qt.Key.Key_Z, CONTROL)):
        press(key, modifier)
        settle(review)
    assert {state(review, one) for one in siblings} <= {BoxState.PLAIN, BoxState.ASKED}
    assert review.session.tally().accepted + review.session.tally().rejected == 0


def test_a_copy_opens_the_lesion_in_the_other_series(
    review: ReviewController, press: Any, siblings: tuple[int, int], project_folder: Path
) -> None:
    press(Qt.Key.Key_N)
    press(Qt.Key.Key_C)
    settle(review)
    latest = {one.candidate_id: one.verdict for one in history_on_disk(project_folder)}
    assert latest == {siblings[0]: Verdict.REJECTED, siblings[1]: Verdict.WITHDRAWN}
    assert state(review, siblings[1]) in (BoxState.PLAIN, BoxState.ASKED)


def test_a_reader_who_looks_at_another_series_stays_there(review: ReviewController, press: Any) -> None:
    press(Qt.Key.Key_Y)
    chosen = max(review._series)
    review.show_series(chosen)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert wait_until(lambda: review.shown_series is not None and not review.view.is_loading, PATIENCE_SECONDS)
    assert review.shown_series == review._series[chosen]
