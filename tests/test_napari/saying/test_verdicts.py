"""No verdict is lost, misapplied or silently ignored: real keys and buttons, in a window where much has gone wrong."""

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from support.projects.review_project import decide_as, decisions_on_disk, mine_twins
from support.window.seen import asked, notice
from support.window.widgets import choose, put_on_screen

from lens_engine.findings import ReasonCode, Rule, Verdict
from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_saved, wait_until
from lens_napari.review.box_table import CANDIDATES
from lens_napari.review.next_step import Action
from lens_napari.review.sight import Unseen
from lens_napari.review.wording import (
    GOING_BACK,
    LAST_OF_LIST,
    NO_REJECTION,
    NOTHING_TO_UNDO,
    STILL_LOADING,
    WAS_LOADING,
    brought_back,
)

PATIENCE_SECONDS = 120.0
CONTROL = Qt.KeyboardModifier.ControlModifier
Press = Callable[..., None]
Disturb = Callable[[ReviewController, Press], None]


def lesion_of_another_series(review: ReviewController, series_id: int) -> int:
    outline = review.session.outline
    return int(outline.ids[outline.series_ids != series_id][0])


def is_seen(review: ReviewController) -> bool:
    assert review.current is not None
    return review.view.why_unseen(review.current.candidate.finding.slices) is None


def pan_away(review: ReviewController, _press: Press) -> None:
    review.viewer.scene.camera.center = (0.0, 5_000.0, 5_000.0)


def scroll_away(review: ReviewController, _press: Press) -> None:
    assert review.current is not None
    slices = {section.slice_index for section in review.current.candidate.finding.slices}
    beyond = max(slices) + 3
    review.viewer.dims.set_current_step(0, beyond if beyond < review.viewer.dims.nsteps[0] else min(slices) - 3)


def zoom_out(review: ReviewController, _press: Press) -> None:
    review.viewer.scene.camera.zoom /= 500


def hide_by_key(_review: ReviewController, press: Press) -> None:
    press(Qt.Key.Key_H)


def hide_in_the_legend(review: ReviewController, _press: Press) -> None:
    review.worklist.legend.boxes[CANDIDATES].click()


def hide_the_layer(review: ReviewController, _press: Press) -> None:
    review.view.layers.boxes[CANDIDATES].visible = False


def hide_the_scan(review: ReviewController, _press: Press) -> None:
    review.view.layers.image.visible = False


def lift_the_scan(review: ReviewController, _press: Press) -> None:
    layers = review.viewer.layers
    layers.move(layers.index(review.view.layers.image), len(layers))


def take_the_boxes_out(review: ReviewController, _press: Press) -> None:
    review.viewer.layers.remove(review.view.layers.boxes[CANDIDATES])


def turn_the_picture(review: ReviewController, _press: Press) -> None:
    review.viewer.dims.order = (1, 0, 2)


def lay_layers_side_by_side(review: ReviewController, _press: Press) -> None:
    review.viewer.canvas.grid.enabled = True


DISTURBANCES: list[tuple[Disturb, Unseen]] = [
    (pan_away, Unseen.OUTSIDE),
    (scroll_away, Unseen.ON_ANOTHER_SLICE),
    (zoom_out, Unseen.TOO_SMALL),
    (hide_by_key, Unseen.HIDDEN),
    (hide_in_the_legend, Unseen.HIDDEN),
    (hide_the_layer, Unseen.HIDDEN),
]
PREVENTED: list[Disturb] = [hide_the_scan, turn_the_picture, lay_layers_side_by_side]
PUT_BACK_SOON: list[Disturb] = [lift_the_scan, take_the_boxes_out]


def test_a_key_brings_a_lesion_back_that_is_not_seen_and_the_next_one_acts(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    first = asked(review)
    for disturb, unseen in DISTURBANCES:
        disturb(review, press)
        assert not is_seen(review), disturb.__name__
        press(Qt.Key.Key_Y)
        assert notice(review) == brought_back(unseen), disturb.__name__
        assert asked(review) == first
        assert is_seen(review), disturb.__name__
        assert review.session.pending == 0
    press(Qt.Key.Key_Y)
    assert notice(review) == ""
    assert wait_saved(review, PATIENCE_SECONDS)
    stored = [(record.candidate_id, record.verdict) for record in decisions_on_disk(project_folder)]
    assert stored == [(first, Verdict.ACCEPTED)]


def test_what_is_held_leaves_the_lesion_seen(review: ReviewController, press: Press) -> None:
    for disturb in PREVENTED:
        asked(review)
        disturb(review, press)
        assert is_seen(review), disturb.__name__
        press(Qt.Key.Key_Y)
        assert review.session.pending == 1, disturb.__name__
        assert wait_saved(review, PATIENCE_SECONDS)


@pytest.mark.parametrize("disturb", PUT_BACK_SOON)
def test_no_key_acts_before_a_layer_is_back_in_its_place(
    review: ReviewController, press: Press, disturb: Disturb
) -> None:
    first = asked(review)
    disturb(review, press)
    press(Qt.Key.Key_Y)
    assert notice(review) == brought_back(Unseen.HIDDEN)
    assert review.session.pending == 0
    assert wait_until(lambda: is_seen(review), PATIENCE_SECONDS)
    assert asked(review) == first
    press(Qt.Key.Key_Y)
    assert review.session.pending == 1


def test_a_button_brings_a_lesion_back_too(review: ReviewController, press: Press) -> None:
    put_on_screen(review.viewer)
    first = asked(review)
    pan_away(review, press)
    for pending in (0, 1):
        QTest.mouseClick(review.lesion_panel.reject_button, Qt.MouseButton.LeftButton)
        assert review.session.pending == pending
    (entry,) = (entry for entry in review.session.entries if entry.record.id == first)
    assert entry.verdict is Verdict.REJECTED


def test_the_verdict_buttons_stay_where_they_are_from_lesion_to_lesion(review: ReviewController) -> None:
    panel, places = review.lesion_panel, set()
    panel.resize(360, 900)
    for notice_text in ("", "Nothing was said."):
        for shown in (False, True):
            panel.show_notice(notice_text)
            panel.pictures.setVisible(shown)
            QTest.qWait(50)
            places.add(panel.reject_button.mapTo(panel, panel.reject_button.rect().topLeft()).y())
    assert len(places) == 1


def test_going_to_a_lesion_always_shows_it(review: ReviewController, press: Press) -> None:
    asked(review)
    for (disturb, _), key in zip(DISTURBANCES, cycle((Qt.Key.Key_G, Qt.Key.Key_J, Qt.Key.Key_K)), strict=False):
        disturb(review, press)
        press(key)
        asked(review)
        assert is_seen(review), (disturb.__name__, key)


def test_taking_back_shows_the_lesion(review: ReviewController, press: Press) -> None:
    first = asked(review)
    press(Qt.Key.Key_Z, CONTROL)
    assert notice(review) == NOTHING_TO_UNDO
    press(Qt.Key.Key_Y)
    asked(review)
    pan_away(review, press)
    press(Qt.Key.Key_Z, CONTROL)
    assert asked(review) == first
    assert is_seen(review)


def test_a_key_at_another_series_goes_back_and_says_so(review: ReviewController, press: Press) -> None:
    first = asked(review)
    other = next(record for record in review._series.values() if record != review.shown_series)
    review.show_series(other.id)
    assert wait_until(lambda: review.shown_series == other, PATIENCE_SECONDS)
    press(Qt.Key.Key_U)
    assert notice(review) == GOING_BACK
    assert asked(review) == first
    assert review.session.pending == 0


def test_keys_while_a_scan_loads_are_answered_and_the_loading_goes_on(review: ReviewController, press: Press) -> None:
    here = review.shown_series
    assert here is not None
    elsewhere = lesion_of_another_series(review, here.id)
    review.worklist.lesion_chosen.emit(elsewhere)
    loading = review.view._images.waiting
    for key in (Qt.Key.Key_Y, Qt.Key.Key_N, Qt.Key.Key_F5, Qt.Key.Key_G, Qt.Key.Key_U):
        press(key)
    assert review.view._images.waiting == loading
    assert notice(review) == STILL_LOADING
    assert asked(review) == elsewhere
    assert notice(review) == WAS_LOADING
    assert review.session.pending == 0
    press(Qt.Key.Key_U)
    assert notice(review) == ""
    assert review.session.pending == 1


def test_a_key_in_the_moment_in_which_a_scan_arrives_is_not_for_what_was_not_seen(
    review: ReviewController, press: Press
) -> None:
    here = review.shown_series
    elsewhere = lesion_of_another_series(review, here.id)  # type: ignore[union-attr]
    review.worklist.lesion_chosen.emit(elsewhere)
    assert wait_until(lambda: review.shown_series != here, PATIENCE_SECONDS)
    press(Qt.Key.Key_Y)
    assert "came on screen this moment" in notice(review)
    assert review.session.pending == 0
    assert asked(review) == elsewhere


def test_a_reason_without_a_rejection_is_answered(review: ReviewController, press: Press, project_folder: Path) -> None:
    asked(review)
    press(Qt.Key.Key_V)
    assert notice(review) == NO_REJECTION
    press(Qt.Key.Key_N)
    press(Qt.Key.Key_J)
    press(Qt.Key.Key_V)
    assert notice(review) == NO_REJECTION
    assert wait_saved(review, PATIENCE_SECONDS)
    assert [record.decision.reason_code for record in decisions_on_disk(project_folder)] == [None]


def test_the_end_of_the_list_is_told(review: ReviewController, press: Press) -> None:
    for _ in range(review.session.tally().total):
        press(Qt.Key.Key_J)
    assert notice(review) == LAST_OF_LIST


def test_a_filter_that_matches_nothing_says_so_and_can_be_taken_off(review: ReviewController) -> None:
    first = asked(review)
    choose(review.worklist.filters.rule_box, Rule.CROSS_SLICE)
    panel = review.lesion_panel
    assert panel.summary_heading.text() == "The filter matches nothing"
    assert "other lesions wait" in panel.what_next_label.text()
    assert panel.go_retrain_button.isHidden()
    QTest.mouseClick(panel.step_buttons[Action.ANY_REASON], Qt.MouseButton.LeftButton)
    assert asked(review) == first
    assert review.worklist.filters.filter.rule is None
    assert panel.summary_box.isHidden()


def test_a_filter_whose_lesions_are_decided_does_not_say_that_the_review_is_done(
    review: ReviewController, press: Press
) -> None:
    asked(review)
    choose(review.worklist.filters.rule_box, Rule.INTRA_PATIENT)
    while review.is_asking:
        asked(review)
        press(Qt.Key.Key_Y)
    assert review.lesion_panel.summary_heading.text() == "The filter is done"
    assert not review.lesion_panel.step_buttons[Action.ANY_REASON].isHidden()


def test_a_filter_stays_when_the_list_is_read_again(review: ReviewController) -> None:
    asked(review)
    choose(review.worklist.filters.rule_box, Rule.CROSS_DATASET)
    session = review.session
    review.reload()
    assert wait_until(lambda: review.session is not session, PATIENCE_SECONDS)
    asked(review)
    assert review.session.filtered is not None


def test_a_verdict_while_the_list_is_read_again_is_in_the_new_list(review: ReviewController, press: Press) -> None:
    first, session = asked(review), review.session
    review.reload()
    press(Qt.Key.Key_Y)
    assert wait_until(lambda: review.session is not session and bool(review.session.entries), PATIENCE_SECONDS)
    (entry,) = (entry for entry in review.session.entries if entry.record.id == first)
    assert entry.verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("shape", [(30, 200, 200), (4, 40, 50, 60)])
def test_a_scan_that_is_put_into_the_window_is_taken_out_again(
    review: ReviewController, press: Press, shape: tuple[int, ...]
) -> None:
    first = asked(review)
    ours, slice_index = list(review.viewer.layers), review.viewer.dims.current_step[0]
    review.viewer.add_image(np.zeros(shape, np.int16), name="another patient")
    review.viewer.add_shapes(np.zeros((1, 4, 3)), name="lesions of another patient", ndim=3)
    press(Qt.Key.Key_Y)  # before napari is back: the lesion cannot be seen
    assert review.session.pending == 0
    assert wait_until(lambda: list(review.viewer.layers) == ours, PATIENCE_SECONDS)
    message = review.lesion_panel.message_label.text()
    assert "“another patient”" in message
    assert "lens add PATH" in message
    assert asked(review) == first
    assert is_seen(review)
    assert (review.viewer.dims.ndim, review.viewer.dims.current_step[0]) == (3, slice_index)


def test_what_a_reader_draws_himself_stays(review: ReviewController, press: Press) -> None:
    asked(review)
    review.viewer.add_shapes(ndim=3, name="mine")
    review.viewer.add_labels(np.zeros((4, 4, 4), np.uint8), name="mine too")
    QTest.qWait(50)
    assert {"mine", "mine too"} <= {layer.name for layer in review.viewer.layers}
    press(Qt.Key.Key_Y)
    assert review.session.pending == 1
    asked(review)
    assert is_seen(review)  # although napari's steps through the slices are those of the finest layer now


def test_a_layer_with_more_axes_than_the_scan_is_taken_out_again(review: ReviewController) -> None:
    asked(review)
    review.viewer.add_labels(np.zeros((2, 4, 4, 4), np.uint8), name="through time")
    assert not is_seen(review)
    assert wait_until(lambda: review.viewer.dims.ndim == 3, PATIENCE_SECONDS)
    assert is_seen(review)


@pytest.mark.parametrize("order", ["the lesion first", "its copy first"])
def test_a_copy_that_is_rejected_leaves_the_lesion_one(viewer: Any, project_folder: Path, order: str) -> None:
    lesion, twin = mine_twins(project_folder)
    review = open_project(project_folder, viewer, start_worker=False)
    canvas = viewer.window._qt_viewer.canvas.native
    asked(review)
    for candidate in (lesion, twin) if order == "the lesion first" else (twin, lesion):
        review.worklist.lesion_chosen.emit(candidate)
        assert asked(review) == candidate
        for key in (Qt.Key.Key_Y,) if candidate == lesion else (Qt.Key.Key_N, Qt.Key.Key_C):
            QTest.keyClick(canvas, key)
    assert wait_saved(review, PATIENCE_SECONDS)
    review.reload()
    session = review.session
    assert wait_until(lambda: review.session is not session and bool(review.session.entries), PATIENCE_SECONDS)
    said = {entry.record.id: entry.decision for entry in review.session.entries}
    assert [said[number].verdict for number in (lesion, twin)] == [Verdict.ACCEPTED, Verdict.REJECTED]  # type: ignore[union-attr]
    assert said[twin].reason_code is ReasonCode.DUPLICATE  # type: ignore[union-attr]
    review.close()


def test_what_another_reader_has_settled_is_shown_and_not_overwritten(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    first = asked(review)
    decide_as(project_folder, "Reader B", first, Verdict.REJECTED)
    press(Qt.Key.Key_Y)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert asked(review) == first
    assert "Reader B has meanwhile said “not a lesion”" in review.lesion_panel.message_label.text()
    assert review.session.tally().decided_now == 0
    assert "by Reader B: not a lesion" in review.lesion_panel.state_label.text()
    assert [record.verdict for record in decisions_on_disk(project_folder)] == [Verdict.REJECTED]
    press(Qt.Key.Key_Y)
    assert wait_saved(review, PATIENCE_SECONDS)
    stored = [(record.decision.reader == "Reader B", record.verdict) for record in decisions_on_disk(project_folder)]
    assert stored == [(True, Verdict.REJECTED), (False, Verdict.ACCEPTED)]


def test_what_another_reader_said_meanwhile_is_not_taken_back(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    first = asked(review)
    press(Qt.Key.Key_N)
    assert wait_saved(review, PATIENCE_SECONDS)
    decide_as(project_folder, "Reader B", first, Verdict.ACCEPTED)
    press(Qt.Key.Key_Z, CONTROL)
    assert wait_saved(review, PATIENCE_SECONDS)
    told = review.lesion_panel.message_label.text()
    assert "Reader B has meanwhile said “lesion” here" in told
    assert "Nothing was taken back" in told
    assert asked(review) == first
    assert "by Reader B: lesion" in review.lesion_panel.state_label.text()
    stored = [(record.verdict, record.decision.round) for record in decisions_on_disk(project_folder)]
    assert stored == [(Verdict.REJECTED, 1), (Verdict.ACCEPTED, 2)]
