"""The keys of a review and the help that lists them, by real keys in a real window."""

from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QScrollArea, QWidget

from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready
from lens_napari.review.settings import KeySettings, spoken
from lens_napari.workspace import key_actions

PATIENCE_SECONDS = 60.0
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
Press = Callable[..., None]


@pytest.fixture
def key_help(review: ReviewController) -> Any:
    main = review.viewer.window._qt_window
    return main.findChild(QWidget, "lens-key-help")


def test_every_key_of_the_settings_is_bound_and_no_other(review: ReviewController) -> None:
    assert set(key_actions(review, KeySettings())) == set(KeySettings().model_dump().values())


def test_the_help_comes_and_goes_by_its_key_and_lists_every_key(key_help: Any, press: Press) -> None:
    assert key_help.isHidden()
    press(Qt.Key.Key_Question, SHIFT)
    assert not key_help.isHidden()
    text = unescape("".join(key_help.lists))
    for name, key in KeySettings().model_dump().items():
        assert f"<b>{spoken(key)}</b>" in text
        assert KeySettings.words(name) in text
    assert "transpose (Ctrl+T)" in key_help.off_label.text()
    assert "Ctrl+Y" not in key_help.off_label.text()
    press(Qt.Key.Key_Question, SHIFT)
    assert key_help.isHidden()


def test_keys_act_below_the_help_and_a_click_closes_it(review: ReviewController, key_help: Any, press: Press) -> None:
    first = review.current
    press(Qt.Key.Key_Question, SHIFT)
    press(Qt.Key.Key_J)
    assert wait_ready(review, PATIENCE_SECONDS)
    assert review.current != first
    QTest.mouseClick(key_help, Qt.MouseButton.LeftButton)
    assert key_help.isHidden()


def test_ctrl_y_says_again_what_was_taken_back(review: ReviewController, press: Press) -> None:
    press(Qt.Key.Key_Y)
    press(Qt.Key.Key_Z, CONTROL)
    assert review.session.tally().accepted == 0
    press(Qt.Key.Key_Y, CONTROL)
    assert review.session.tally().accepted == 1
    assert review.viewer.dims.ndisplay == 2


def test_a_closed_review_takes_its_help_along(review: ReviewController, key_help: Any, press: Press) -> None:
    press(Qt.Key.Key_Question, SHIFT)
    review.close()
    assert key_help.isHidden()


def test_a_window_of_900_pixels_has_room_for_everything_that_can_be_shown(
    review: ReviewController, press: Press
) -> None:
    main, panel = review.viewer.window._qt_window, review.lesion_panel
    review.viewer.show()
    panel.show_types([f"type {number}" for number in range(8)])
    panel.pictures.say("Reading the scan of the marked lesion …")
    panel.comment_box.show_axes("24 x 18 mm, by Reader B")
    panel.comment_box.others_label.setText("Reader B: “seen before”\nReader C: “growing”")
    panel.comment_box.others_label.show()
    panel.show_notice("Said in two lines, since it is longer than the panel is wide on this screen.")
    panel.show_message("Your verdict was not saved. The disk is full. Free some space and decide again.")
    press(Qt.Key.Key_O, SHIFT)
    main.resize(1600, 900)
    QTest.qWait(300)
    assert review.overview.panel.isVisible()
    assert main.minimumSizeHint().height() <= 900
    assert main.height() == 900
    assert panel.notice_label.visibleRegion().boundingRect().height() == panel.notice_label.height()
    assert panel.message_label.visibleRegion().boundingRect().height() == panel.message_label.height()


def test_what_the_window_is_too_low_for_is_scrolled(review: ReviewController) -> None:
    main, panel = review.viewer.window._qt_window, review.lesion_panel
    review.viewer.show()
    main.resize(1600, 620)
    QTest.qWait(300)
    (area,) = panel.findChildren(QScrollArea)
    assert area.verticalScrollBar().maximum() > 0
    area.ensureWidgetVisible(panel.move_buttons[0])
    QTest.qWait(50)
    assert not panel.move_buttons[0].visibleRegion().isEmpty()
    assert panel.accept_button.width() >= panel.accept_button.fontMetrics().horizontalAdvance("Lesion [Y]")
