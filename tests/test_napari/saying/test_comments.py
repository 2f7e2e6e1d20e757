"""A reader's own words by real keys in real widgets: they go with the verdict, and none of them is lost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from support.projects.review_project import decide_as, decisions_on_disk
from support.window.seen import accept_and_go_back, asked, notice
from support.window.widgets import put_on_screen

from lens_engine.findings import MAX_COMMENT, Verdict
from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_saved, wait_until
from lens_napari.review.saying import remark_card
from lens_napari.review.saying.unsaid_file import unsaid_file
from lens_napari.review.settings import ViewerSettings
from lens_napari.review.worklist.filters import Listed
from lens_napari.saying.comment_box import CommentField

PATIENCE_SECONDS = 120.0
SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
Press = Callable[..., None]


def field(review: ReviewController) -> CommentField:
    return review.lesion_panel.comment_box.field


def type_words(review: ReviewController, press: Press, words: str, *, enter: bool = True) -> None:
    """Type as a reader does: the key that puts the cursor into the field, the words, and Enter."""
    press(Qt.Key.Key_T, SHIFT)
    QTest.keyClicks(field(review), words)
    if enter:
        QTest.keyClick(field(review), Qt.Key.Key_Return)


def said(review: ReviewController, folder: Path) -> list[tuple[int | None, Verdict, str]]:
    assert wait_saved(review, PATIENCE_SECONDS)
    return [(one.candidate_id, one.verdict, one.decision.comment) for one in decisions_on_disk(folder)]


def test_words_that_look_like_keys_decide_nothing_and_go_with_the_verdict(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    first = asked(review)
    type_words(review, press, "yes? NUVK, 12")
    QTest.keyClick(field(review), Qt.Key.Key_F5)
    assert said(review, project_folder) == []
    assert notice(review) == remark_card.KEPT
    assert review.lesion_panel.comment_box.title_label.text() == "comment [Shift+T]: goes with your verdict"
    press(Qt.Key.Key_N)
    asked(review)
    assert field(review).toPlainText() == ""
    press(Qt.Key.Key_V)
    assert said(review, project_folder) == [
        (first, Verdict.REJECTED, "yes? NUVK, 12"),
        (first, Verdict.REJECTED, "yes? NUVK, 12"),
    ]


def test_escape_leaves_the_words_as_they_were(review: ReviewController, press: Press, project_folder: Path) -> None:
    first = asked(review)
    type_words(review, press, "cyst")
    type_words(review, press, " or node", enter=False)
    assert field(review).toPlainText() == "cyst or node"
    QTest.keyClick(field(review), Qt.Key.Key_Escape)
    assert field(review).toPlainText() == "cyst"
    press(Qt.Key.Key_Y)
    assert said(review, project_folder) == [(first, Verdict.ACCEPTED, "cyst")]


def test_a_verdict_by_its_button_takes_words_that_were_not_ended(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    put_on_screen(review.viewer)
    first = asked(review)
    type_words(review, press, "subpleural", enter=False)
    QTest.qWait(200)
    QTest.mouseClick(review.lesion_panel.unsure_button, Qt.MouseButton.LeftButton)
    assert said(review, project_folder) == [(first, Verdict.UNSURE, "subpleural")]


def test_words_about_a_decided_lesion_are_a_decision_more_and_undo_takes_them_back(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    first = accept_and_go_back(review, press)
    type_words(review, press, "spiculated")
    assert asked(review) == first
    assert notice(review) == remark_card.ADDED
    assert said(review, project_folder)[1:] == [(first, Verdict.ACCEPTED, "spiculated")]
    press(Qt.Key.Key_Z, CONTROL)
    assert asked(review) == first
    assert field(review).toPlainText() == ""
    press(Qt.Key.Key_Y, CONTROL)
    assert field(review).toPlainText() == "spiculated"
    verdicts = [(verdict, words) for _, verdict, words in said(review, project_folder)]
    assert verdicts[2:] == [(Verdict.ACCEPTED, ""), (Verdict.ACCEPTED, "spiculated")]


def test_words_about_a_decided_lesion_are_said_when_the_reader_goes_on_by_a_button(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    put_on_screen(review.viewer)
    first = accept_and_go_back(review, press)
    type_words(review, press, "abuts the vein", enter=False)
    next_button = next(one for one in review.lesion_panel.move_buttons if one.text().startswith("Next"))
    QTest.mouseClick(next_button, Qt.MouseButton.LeftButton)
    assert asked(review) != first
    assert notice(review) == "What you typed or drew about lesion 1 was added to what was said of it."
    assert said(review, project_folder)[-1] == (first, Verdict.ACCEPTED, "abuts the vein")


def test_words_about_an_open_lesion_wait_for_it_even_while_the_window_is_closed(
    review: ReviewController, press: Press, project_folder: Path, viewer: Any
) -> None:
    first = asked(review)
    type_words(review, press, "compare the MRI", enter=False)
    press(Qt.Key.Key_J)
    second = asked(review)
    assert notice(review) == "What you typed or drew about lesion 1 waits for your verdict there."
    assert field(review).toPlainText() == ""
    type_words(review, press, "thrombus", enter=False)
    review.close()
    assert decisions_on_disk(project_folder) == []
    again = open_project(project_folder, viewer, start_worker=False)
    put_on_screen(viewer)
    assert asked(again) == first
    assert field(again).toPlainText() == "compare the MRI"
    QTest.mouseClick(again.lesion_panel.accept_button, Qt.MouseButton.LeftButton)
    assert asked(again) == second
    assert field(again).toPlainText() == "thrombus"
    QTest.mouseClick(again.lesion_panel.reject_button, Qt.MouseButton.LeftButton)
    verdicts = [(first, Verdict.ACCEPTED, "compare the MRI"), (second, Verdict.REJECTED, "thrombus")]
    assert said(again, project_folder) == verdicts
    again.close()
    assert not unsaid_file(project_folder, again.settings.reader).exists()


def test_words_about_a_decided_lesion_are_said_when_the_window_closes(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    first = accept_and_go_back(review, press)
    type_words(review, press, "stable", enter=False)
    review.close()
    assert [(one.candidate_id, one.decision.comment) for one in decisions_on_disk(project_folder)][1:] == [
        (first, "stable")
    ]


def test_a_file_of_words_that_cannot_be_read_is_said_and_left_alone(viewer: Any, project_folder: Path) -> None:
    file = unsaid_file(project_folder, "nobody")
    file.parent.mkdir()
    for broken in (file, unsaid_file(project_folder, ViewerSettings().reader)):
        broken.write_text("{")
    opened = open_project(project_folder, viewer, start_worker=False)
    asked(opened)
    assert "cannot be read" in opened.lesion_panel.message_label.text()
    QTest.keyClicks(field(opened), "cyst")
    opened.close()
    assert {one.read_text() for one in file.parent.iterdir()} == {"{"}


def test_the_words_of_another_reader_stand_on_the_card_with_his_name(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    first = asked(review)
    decide_as(project_folder, "Reader B", first, Verdict.REJECTED, "a loop of bowel")
    session = review.session
    review.reload()
    assert wait_until(lambda: review.session is not session, PATIENCE_SECONDS)
    show_box = review.worklist.filters.show_box
    show_box.setCurrentIndex(show_box.findData(Listed.NOT_LESIONS))
    show_box.activated.emit(show_box.currentIndex())
    table = review.worklist.table
    place = table.visualRect(review.worklist.model.index(0, 2)).center()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(place))
    assert asked(review) == first
    box = review.lesion_panel.comment_box
    assert box.others_label.text() == "Reader B: “a loop of bowel”"
    assert not box.others_label.isHidden()
    type_words(review, press, "agreed")
    assert said(review, project_folder)[-1] == (first, Verdict.REJECTED, "agreed")
    assert box.others_label.text() == "Reader B: “a loop of bowel”"


def test_the_field_takes_no_more_than_a_comment_may_have(review: ReviewController, press: Press) -> None:
    asked(review)
    press(Qt.Key.Key_T, SHIFT)
    field(review).setPlainText("x" * (MAX_COMMENT + 30))
    assert len(field(review).toPlainText()) == MAX_COMMENT
    QTest.keyClicks(field(review), "yy")
    assert field(review).toPlainText() == "x" * MAX_COMMENT
    assert review.session.remarks.comment_on(asked(review)) == "x" * MAX_COMMENT


@pytest.mark.parametrize("decided", [False, True])
def test_words_are_about_the_drawn_lesion_that_is_chosen(
    review: ReviewController, press: Press, project_folder: Path, decided: bool
) -> None:
    candidate = asked(review)
    view = review.view
    loaded = view.loaded
    assert loaded is not None
    press(Qt.Key.Key_D, SHIFT)
    assert review.boxes.draft is not None
    if not decided:
        type_words(review, press, "missed")
        assert notice(review) == remark_card.KEPT_FOR_BOX
    review.boxes._follow(review.boxes.draft.with_box(view.slice_on_screen[0], (40.0, 40.0, 50.0, 50.0)))
    press(Qt.Key.Key_Y)
    assert wait_until(lambda: len(review.boxes.drawn.of_series(loaded.record.id)) == 1, PATIENCE_SECONDS)
    (drawn,) = review.boxes.drawn.of_series(loaded.record.id)
    assert asked(review) == candidate
    assert field(review).toPlainText() == ""
    review.boxes.choose(drawn.number)
    if decided:
        type_words(review, press, "missed")
    assert review.lesion_panel.comment_box.title_label.text() == "comment on the drawn lesion [Shift+T]"
    assert field(review).toPlainText() == "missed"
    comments = [(verdict, words) for _, verdict, words in said(review, project_folder)]
    first = (Verdict.ADDED, "" if decided else "missed")
    assert comments == ([first, (Verdict.WITHDRAWN, ""), (Verdict.ADDED, "missed")] if decided else [first])
