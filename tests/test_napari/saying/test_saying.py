"""Reasons, the line that confirms, and the keys for series, by real keys in a real window."""

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from support.projects.review_project import decide_as, decisions_on_disk
from support.window.seen import asked

from lens_engine.findings import ReasonCode, Verdict
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_saved, wait_until
from lens_napari.review.wording import FIRST_SERIES, LAST_SERIES
from lens_napari.saying import confirmation
from lens_napari.saying.confirmation import Confirmation
from lens_napari.saying.reason_buttons import GIVEN_STYLE

PATIENCE_SECONDS = 120.0
SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
Press = Callable[..., None]


def said(review: ReviewController, folder: Path) -> list[tuple[int | None, Verdict, ReasonCode | None]]:
    assert wait_saved(review, PATIENCE_SECONDS)
    return [(one.candidate_id, one.verdict, one.reason_code) for one in decisions_on_disk(folder)]


def given(review: ReviewController) -> list[ReasonCode]:
    buttons = review.lesion_panel.reasons.buttons
    return [reason for reason, one in buttons.items() if one.styleSheet() == GIVEN_STYLE]


def line(review: ReviewController) -> Confirmation:
    canvas = review.viewer.window._qt_viewer.canvas.native
    found = canvas.findChildren(Confirmation)
    assert len(found) == 1
    return found[0]


def test_the_reason_of_an_earlier_rejection_is_changed_and_taken_away_where_it_is_on_screen(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    first = asked(review)
    press(Qt.Key.Key_N)
    assert review.lesion_panel.reasons.about_label.text() == "lesion 1, just rejected, why:"
    press(Qt.Key.Key_V)
    assert given(review) == [ReasonCode.VESSEL]
    asked(review)
    press(Qt.Key.Key_J)
    asked(review)
    assert given(review) == []
    assert review.lesion_panel.reasons.about_label.text() == "after N, why:"
    press(Qt.Key.Key_K)
    press(Qt.Key.Key_K)
    assert asked(review) == first
    assert given(review) == [ReasonCode.VESSEL]
    QTest.mouseClick(review.lesion_panel.reasons.buttons[ReasonCode.BENIGN], Qt.MouseButton.LeftButton)
    assert asked(review) == first
    press(Qt.Key.Key_M)
    assert given(review) == []
    press(Qt.Key.Key_Z, CONTROL)
    assert given(review) == [ReasonCode.BENIGN]
    reasons = [None, ReasonCode.VESSEL, ReasonCode.BENIGN, None, ReasonCode.BENIGN]
    assert said(review, project_folder) == [(first, Verdict.REJECTED, reason) for reason in reasons]


def test_a_reason_is_refused_on_a_lesion_that_is_not_rejected(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    asked(review)
    press(Qt.Key.Key_V)
    assert "there is none" in review.lesion_panel.notice_label.text()
    assert said(review, project_folder) == []


def test_a_line_over_the_picture_confirms_the_verdict_and_turns_when_it_is_on_disk(
    review: ReviewController, press: Press
) -> None:
    asked(review)
    assert line(review).isHidden()
    press(Qt.Key.Key_N)
    assert line(review).text() == "1: not a lesion ○"
    press(Qt.Key.Key_V)
    assert line(review).text() == "1: not a lesion · vessel ○"
    assert wait_until(lambda: line(review).text() == "1: not a lesion · vessel ✓", PATIENCE_SECONDS)
    asked(review)
    press(Qt.Key.Key_Y)
    assert line(review).text().startswith("2: lesion ")
    press(Qt.Key.Key_Z, CONTROL)
    assert wait_until(lambda: line(review).text() == "2: open again ✓", PATIENCE_SECONDS)
    assert not line(review).isHidden()


def test_the_line_goes_by_itself_and_lies_at_the_lower_edge(review: ReviewController, press: Press) -> None:
    asked(review)
    line(review)._ends.setInterval(50)
    press(Qt.Key.Key_U)
    assert line(review).geometry().top() > 0.8 * line(review).parentWidget().height()
    assert wait_until(lambda: line(review).isHidden(), PATIENCE_SECONDS)
    assert confirmation.SHOWN_MS >= 3000


def test_the_line_says_what_another_reader_has_settled_and_goes(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    first = asked(review)
    decide_as(project_folder, "Reader B", first, Verdict.REJECTED)
    line(review)._ends.setInterval(50)
    press(Qt.Key.Key_Y)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert line(review).text() == "1: not a lesion, says Reader B"
    assert wait_until(lambda: line(review).isHidden(), PATIENCE_SECONDS)


def test_the_line_leaves_with_the_review(review: ReviewController, press: Press) -> None:
    asked(review)
    press(Qt.Key.Key_Y)
    shown = line(review)
    review.close()
    assert shown.isHidden()


def test_keys_go_to_the_next_and_the_previous_series_and_say_where_the_list_ends(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    asked(review)
    outline = review.session.outline
    in_order = list(dict.fromkeys(outline.series_ids.tolist()))
    for series_id in in_order[1:]:
        press(Qt.Key.Key_J, SHIFT)
        assert review.session.asked_series == series_id
        asked(review)
    press(Qt.Key.Key_J, SHIFT)
    assert review.lesion_panel.notice_label.text() == LAST_SERIES
    for series_id in in_order[-2::-1]:
        press(Qt.Key.Key_K, SHIFT)
        assert review.session.asked_series == series_id
    press(Qt.Key.Key_K, SHIFT)
    assert review.lesion_panel.notice_label.text() == FIRST_SERIES
    assert said(review, project_folder) == []


def test_a_changed_box_is_not_left_for_another_series(review: ReviewController, press: Press) -> None:
    asked(review)
    here = review.session.asked_series
    press(Qt.Key.Key_Down, SHIFT)
    press(Qt.Key.Key_J, SHIFT)
    assert review.session.asked_series == here
    assert "A box is in work" in review.lesion_panel.notice_label.text()
