"""The tour through the review by real keys and buttons."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFrame, QLabel, QMainWindow, QPushButton, QToolBar, QWidget
from support.window.seen import asked

from lens_napari import commands
from lens_napari.application import begin_tour
from lens_napari.controller import ReviewController
from lens_napari.demo.marker import MARKER
from lens_napari.review.settings import KeySettings, spoken
from lens_napari.tour.steps import About, steps
from lens_napari.tour.tour import FRAME_COLOUR, NAME

ALT, SHIFT, LEFT = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ShiftModifier, Qt.MouseButton.LeftButton
ABOUT = [step.about for step in steps(KeySettings())]
Press = Callable[..., None]


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1500, 950)
    return viewer


@pytest.fixture
def demo_folder(project_folder: Path) -> Path:
    (project_folder.parent / MARKER).touch()
    return project_folder


def main_of(review: ReviewController) -> QMainWindow:
    return review.worklist.window()


def bar(review: ReviewController) -> QToolBar | None:
    QTest.qWait(30)
    bars = main_of(review).findChildren(QToolBar, NAME)
    return next((one for one in bars if one.isVisible()), None)


def said(review: ReviewController) -> str:
    line = bar(review)
    return "" if line is None else str(line.findChild(QLabel).text())


def press_button(review: ReviewController, words: str) -> None:
    line = bar(review)
    assert line is not None
    button = next(one for one in line.findChildren(QPushButton) if one.text().startswith(words))
    QTest.mouseClick(button, LEFT)


def test_a_key_leads_through_all_steps_and_out_again(review: ReviewController, press: Press) -> None:
    asked(review)
    for number, about in enumerate(ABOUT, start=1):
        press(Qt.Key.Key_N, ALT)
        assert f"{number} of {len(ABOUT)} · <b>{about}</b>" in said(review)
    press(Qt.Key.Key_N, ALT)
    assert bar(review) is None
    assert review.settings.tour_seen


def test_buttons_do_the_same_and_it_can_be_left_at_once(review: ReviewController) -> None:
    commands.tour()
    press_button(review, "Next")
    assert ABOUT[1] in said(review)
    press_button(review, "Leave")
    assert bar(review) is None


def test_it_is_left_by_a_key_and_begins_again_from_the_list_of_keys(review: ReviewController, press: Press) -> None:
    press(Qt.Key.Key_N, ALT)
    press(Qt.Key.Key_N, ALT)
    press(Qt.Key.Key_X, ALT)
    assert bar(review) is None
    press(Qt.Key.Key_Question, SHIFT)
    key_help = main_of(review).findChild(QWidget, "lens-key-help")
    QTest.mouseClick(key_help.tour_button, LEFT)
    assert key_help.isHidden()
    assert ABOUT[0] in said(review)


def test_nothing_of_it_lies_over_the_picture(review: ReviewController, press: Press) -> None:
    asked(review)
    main = main_of(review)
    for _ in ABOUT:
        press(Qt.Key.Key_N, ALT)
        line = bar(review)
        assert line is not None
        canvas = review.viewer.window._qt_viewer.canvas.native
        picture = QRect(canvas.mapTo(main, QPoint(0, 0)), canvas.size())
        assert not picture.intersects(QRect(line.mapTo(main, QPoint(0, 0)), line.size()))
        frame = next(one for one in main.findChildren(QFrame) if FRAME_COLOUR in one.styleSheet())
        covered = frame.mask().translated(frame.pos()).intersected(picture.adjusted(3, 3, -3, -3))
        assert covered.isEmpty()


def test_a_window_that_had_no_room_for_the_line_has_its_size_again(review: ReviewController, press: Press) -> None:
    asked(review)
    main = main_of(review)
    main.resize(main.minimumSizeHint())
    QTest.qWait(30)
    before = main.size()
    press(Qt.Key.Key_N, ALT)
    assert bar(review) is not None
    assert main.height() > before.height()
    press(Qt.Key.Key_X, ALT)
    QTest.qWait(50)
    assert main.size() == before


def test_the_demo_begins_with_it_once(demo_folder: Path, review: ReviewController, press: Press) -> None:
    begin_tour(review, demo_folder)
    assert ABOUT[0] in said(review)
    press(Qt.Key.Key_X, ALT)
    begin_tour(review, demo_folder)
    assert bar(review) is None


def test_another_project_begins_without_it(review: ReviewController, project_folder: Path) -> None:
    begin_tour(review, project_folder)
    assert bar(review) is None


def test_a_closed_review_takes_its_tour_along(review: ReviewController, press: Press) -> None:
    press(Qt.Key.Key_N, ALT)
    main = main_of(review)
    review.close()
    QTest.qWait(30)
    assert not [one for one in main.findChildren(QToolBar, NAME) if one.isVisible()]


def test_each_part_of_the_window_is_spoken_of_once_and_with_the_readers_own_keys() -> None:
    assert list(About) == ABOUT
    texts = " ".join(step.text for step in steps(KeySettings(accept="Control-A")))
    assert spoken("Control-A") in texts
