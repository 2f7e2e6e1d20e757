"""The list of lesions: what is chosen above it, what it shows, and how decided lesions are decided again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QComboBox
from support.projects.review_project import decide_as, decisions_on_disk
from support.window.seen import asked

from lens_engine.findings import Verdict
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_saved, wait_until
from lens_napari.panels.worklist_table import RowsModel
from lens_napari.review.box_table import BoxState
from lens_napari.review.next_step import Action
from lens_napari.review.worklist.filters import Listed, Sorting
from lens_napari.review.worklist.rows import WorklistRow

PATIENCE_SECONDS = 120.0


def choose(box: QComboBox, value: object) -> None:
    """Choose an entry as a click on it does."""
    box.setCurrentIndex(box.findData(value))
    box.activated.emit(box.currentIndex())


def listed(review: ReviewController) -> list[WorklistRow]:
    return list(review.worklist.model.rows)


def click_row(review: ReviewController, number: int) -> None:
    table = review.worklist.table
    table.scrollTo(review.worklist.model.index(number, 0))
    place = table.visualRect(review.worklist.model.index(number, 2)).center()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(place))


def click(review: ReviewController, action: Action) -> None:
    QTest.mouseClick(review.lesion_panel.step_buttons[action], Qt.MouseButton.LeftButton)


def test_a_decided_lesion_that_is_chosen_in_the_list_can_be_decided_again(
    review: ReviewController, press: Any, project_folder: Path
) -> None:
    first = asked(review)
    press(Qt.Key.Key_N)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert first not in [row.candidate_id for row in listed(review)]
    choose(review.worklist.filters.show_box, Listed.NOT_LESIONS)
    assert [(row.candidate_id, row.mark) for row in listed(review)] == [(first, "✕")]
    click_row(review, 0)
    assert asked(review) == first
    press(Qt.Key.Key_Y)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert [one.verdict for one in decisions_on_disk(project_folder)] == [Verdict.REJECTED, Verdict.ACCEPTED]
    assert review.lesion_panel.summary_heading.text() == "The filter matches nothing"
    click(review, Action.ANY_REASON)
    assert asked(review) != first
    assert review.worklist.filters.show_box.currentData() is Listed.OPEN


def test_how_far_the_review_is_stands_below_the_list(review: ReviewController, press: Any) -> None:
    asked(review)
    total = review.session.tally().total
    assert review.worklist.tally_label.text() == f"0 of {total} settled · 0 today by you"
    press(Qt.Key.Key_Y)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert wait_until(lambda: review.session.pending == 0, PATIENCE_SECONDS)
    assert review.worklist.tally_label.text() == f"1 of {total} settled · 1 today by you"
    session = review.session
    review.reload()
    assert wait_until(lambda: review.session is not session, PATIENCE_SECONDS)
    assert review.worklist.tally_label.text() == f"1 of {total} settled · 1 today by you"


def test_a_search_lists_the_lesions_of_one_patient_and_gives_the_keys_back(
    review: ReviewController, project_folder: Path
) -> None:
    asked(review)
    field, before = review.worklist.filters.search_field, listed(review)
    patients = {row.patient for row in before}
    other = (patients - {before[0].patient}).pop()
    field.setFocus()
    QTest.keyClicks(field, f"00{other}")
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert {row.patient for row in listed(review)} == {other}
    assert not field.hasFocus()
    assert asked(review) in [row.candidate_id for row in listed(review)]
    assert decisions_on_disk(project_folder) == []


def test_a_search_without_a_hit_says_so_and_can_be_taken_off(review: ReviewController) -> None:
    first = asked(review)
    QTest.keyClicks(review.worklist.filters.search_field, "nobody")
    heading = review.lesion_panel.summary_heading
    assert wait_until(lambda: heading.text() == "The filter matches nothing", PATIENCE_SECONDS)
    assert listed(review) == []
    assert "as you have chosen" in review.lesion_panel.what_next_label.text()
    click(review, Action.ANY_REASON)
    assert review.worklist.filters.search_field.text() == ""
    assert asked(review) == first


def test_what_is_chosen_by_expert_data_set_and_score_is_marked_on_the_button(review: ReviewController) -> None:
    asked(review)
    filters, everything = review.worklist.filters, len(listed(review))
    assert filters.more.isHidden()
    QTest.mouseClick(filters.more_button, Qt.MouseButton.LeftButton)
    assert not filters.more.isHidden()
    expert = listed(review)[0].expert
    choose(filters.expert_box, expert)
    assert {row.expert for row in listed(review)} == {expert}
    assert filters.more_button.text() == "More ●"
    filters.take_off()
    choose(filters.least_box, 0.9)
    assert listed(review) == []
    choose(filters.least_box, 0.8)
    assert len(listed(review)) == everything
    choose(filters.dataset_box, "universal")
    assert len(listed(review)) == everything
    filters.take_off()
    assert filters.more_button.text() == "More"


def test_lesions_with_a_comment_are_listed_decided_or_not_and_found_by_its_words(
    review: ReviewController, project_folder: Path
) -> None:
    commented, other = (row.candidate_id for row in listed(review)[:2])
    decide_as(project_folder, "Reader B", commented, Verdict.REJECTED, "a loop of bowel")
    decide_as(project_folder, "Reader B", other, Verdict.REJECTED)
    session = review.session
    review.reload()
    assert wait_until(lambda: review.session is not session, PATIENCE_SECONDS)
    filters = review.worklist.filters
    choose(filters.comment_box, True)
    assert filters.show_box.currentData() is Listed.ALL
    assert filters.more_button.text() == "More ●"
    assert [row.candidate_id for row in listed(review)] == [commented]
    assert asked(review) == commented
    QTest.keyClicks(filters.search_field, "Bowel")
    QTest.keyClick(filters.search_field, Qt.Key.Key_Return)
    assert [row.candidate_id for row in listed(review)] == [commented]
    QTest.keyClicks(filters.search_field, " artery")
    QTest.keyClick(filters.search_field, Qt.Key.Key_Return)
    assert listed(review) == []


def test_nothing_can_be_chosen_by_scores_that_are_hidden(review: ReviewController) -> None:
    asked(review)
    filters, everything = review.worklist.filters, len(listed(review))
    choose(filters.least_box, 0.9)
    assert listed(review) == []
    review.lesion_panel.scores_box.click()
    assert len(listed(review)) == everything
    assert not filters.least_box.isEnabled()
    assert not filters.expert_box.isEnabled()


def test_series_by_series_the_list_goes_from_head_to_feet_and_the_keys_with_it(
    review: ReviewController, press: Any
) -> None:
    asked(review)
    choose(review.worklist.filters.sorting_box, Sorting.SERIES)
    outline = review.session.outline
    order = np.lexsort((outline.middle_slices(), outline.series_ids))
    assert [row.candidate_id for row in listed(review)] == outline.ids[order].tolist()
    click_row(review, 0)
    assert asked(review) == outline.ids[order[0]]
    assert review.lesion_panel.position_label.text() == f"1 of {len(outline)}"
    press(Qt.Key.Key_J)
    assert review.session.asked_id == outline.ids[order[1]]


def test_a_verdict_takes_one_line_out_of_the_list_and_leaves_the_others(review: ReviewController, press: Any) -> None:
    asked(review)
    resets: list[object] = []
    model: RowsModel = review.worklist.model
    model.modelReset.connect(lambda: resets.append(None))
    before = [row.candidate_id for row in listed(review)]
    press(Qt.Key.Key_Y)
    assert [row.candidate_id for row in listed(review)] == before[1:]
    press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert [row.candidate_id for row in listed(review)] == before
    assert listed(review)[0].state is BoxState.ASKED
    assert wait_saved(review, PATIENCE_SECONDS)
    assert resets == []


def test_a_lesion_whose_scan_is_still_read_is_told_as_far_as_it_is_known(review: ReviewController) -> None:
    here = review.session.asked_series
    outline = review.session.outline
    row = int(np.flatnonzero(outline.series_ids != here)[0])
    review.worklist.lesion_chosen.emit(int(outline.ids[row]))
    assert review.current is None
    panel = review.lesion_panel
    assert not panel.lesion_box.isHidden()
    assert "mm" in panel.size_label.text()
    assert f"slice {outline.middle_slice(row) + 1}" in panel.size_label.text()
    in_short = panel.why_label.text()
    assert asked(review) == outline.ids[row]
    assert panel.why_label.text() != in_short


@pytest.mark.parametrize("listing", [Listed.ALL, Listed.LESIONS])
def test_what_is_listed_stays_when_the_list_is_read_again(review: ReviewController, listing: Listed) -> None:
    asked(review)
    choose(review.worklist.filters.show_box, listing)
    session, before = review.session, listed(review)
    review.reload()
    assert wait_until(lambda: review.session is not session, PATIENCE_SECONDS)
    assert review.worklist.filters.filter.listed is listing
    assert [row.candidate_id for row in listed(review)] == [row.candidate_id for row in before]
