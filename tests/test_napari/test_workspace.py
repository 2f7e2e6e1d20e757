"""The keys of a review and the help that lists them, by real keys in a real window."""

from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

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
