"""The arrangement of a review's window, with real docks in real windows."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from lens_napari import commands
from lens_napari.application import open_project
from lens_napari.arrangement.layouts import LAYOUTS_FOLDER, LayoutFiles, WindowLayout
from lens_napari.arrangement.window_memory import REVIEW, VERSION
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready
from lens_napari.workspace import LEFT_WIDTH, STANDARD_ARRANGEMENT

PATIENCE_SECONDS = 60.0
LEFT, RIGHT = Qt.DockWidgetArea.LeftDockWidgetArea, Qt.DockWidgetArea.RightDockWidgetArea
Open = Callable[[], ReviewController]


@pytest.fixture
def files(tmp_path: Path) -> LayoutFiles:
    return LayoutFiles(tmp_path / "config" / "lens-napari" / LAYOUTS_FOLDER)


@pytest.fixture
def open_window(project_folder: Path, make_napari_viewer: Callable[..., Any]) -> Iterator[Open]:
    """Return a function that opens the project in one more window, as the next session would."""
    opened: list[ReviewController] = []

    def open_one() -> ReviewController:
        for one in opened:
            one.close()
        viewer = make_napari_viewer(show=True)
        viewer.window.resize(1500, 900)
        opened.append(open_project(project_folder, viewer, start_worker=False))
        assert wait_ready(opened[-1], PATIENCE_SECONDS)
        QTest.qWait(50)
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def main_of(review: ReviewController) -> QMainWindow:
    return review.worklist.window()


def dock_of(panel: QWidget) -> QDockWidget:
    widget = panel
    while not isinstance(widget, QDockWidget):
        widget = widget.parentWidget()
    return widget


def area_of(review: ReviewController, panel: QWidget) -> Any:
    return main_of(review).dockWidgetArea(dock_of(panel))


def move(review: ReviewController) -> None:
    """Put the worklist behind the lesion and hide the jobs, as a reader does by dragging and clicking."""
    main_of(review).tabifyDockWidget(dock_of(review.lesion_panel), dock_of(review.worklist))
    dock_of(review.jobs_panel).close()
    QTest.qWait(50)


def test_docks_lie_in_the_next_window_as_they_were_left(open_window: Open) -> None:
    first = open_window()
    assert area_of(first, first.worklist) == LEFT
    move(first)
    again = open_window()
    assert area_of(again, again.worklist) == RIGHT
    assert dock_of(again.jobs_panel).isHidden()
    assert again.lesion_panel.isVisible()


def test_the_width_of_a_dock_is_remembered(open_window: Open) -> None:
    first = open_window()
    main_of(first).resizeDocks([dock_of(first.worklist)], [LEFT_WIDTH + 90], Qt.Orientation.Horizontal)
    QTest.qWait(50)
    again = open_window()
    assert dock_of(again.worklist).width() == pytest.approx(LEFT_WIDTH + 90, abs=3)


def test_closing_the_window_keeps_the_arrangement_too(review: ReviewController, files: LayoutFiles) -> None:
    move(review)
    left = bytes(main_of(review).saveState(VERSION))
    main_of(review).close()
    kept = files.read(REVIEW)
    assert kept is not None
    assert kept.docks == left


def test_a_command_in_the_menu_of_windows_puts_everything_back(open_window: Open, files: LayoutFiles) -> None:
    review = open_window()
    move(review)
    dock_of(review.lesion_panel).destroyOnClose()  # the cross of its title
    menu = review.viewer.window.window_menu
    next(action for action in menu.actions() if action.text() == STANDARD_ARRANGEMENT).trigger()
    QTest.qWait(50)
    assert [area_of(review, panel) for panel in (review.worklist, review.lesion_panel)] == [LEFT, RIGHT]
    assert not dock_of(review.jobs_panel).isHidden()
    assert review.lesion_panel.isVisible()
    assert review.planes.panel.isVisible()
    assert dock_of(review.worklist).width() == pytest.approx(LEFT_WIDTH, abs=3)


def test_the_palette_knows_the_same_command(open_window: Open) -> None:
    review = open_window()
    move(review)
    commands.standard_arrangement()
    assert area_of(review, review.worklist) == LEFT


@pytest.mark.parametrize(
    "layout",
    [
        WindowLayout(docks=b"AAEC", width=1000, height=700),
        WindowLayout(docks=b"AAEC", width=100_000, height=700),
    ],
)
def test_what_cannot_be_used_leaves_the_standard_arrangement(
    open_window: Open, files: LayoutFiles, layout: WindowLayout
) -> None:
    files.keep(REVIEW, layout)
    review = open_window()
    assert [area_of(review, panel) for panel in (review.worklist, review.lesion_panel)] == [LEFT, RIGHT]
    assert dock_of(review.worklist).width() == pytest.approx(LEFT_WIDTH, abs=3)
    assert review.lesion_panel.isVisible()


def test_a_window_that_was_larger_than_the_screen_is_now_gets_the_standard_arrangement(
    open_window: Open, files: LayoutFiles
) -> None:
    move(open_window())
    open_window().close()
    kept = files.read(REVIEW)
    assert kept is not None
    files.keep(REVIEW, WindowLayout.model_validate(kept.model_dump(mode="json") | {"width": 100_000}))
    again = open_window()
    assert area_of(again, again.worklist) == LEFT


def test_a_closed_review_takes_its_command_along(open_window: Open) -> None:
    review = open_window()
    menu = review.viewer.window.window_menu
    review.close()
    assert STANDARD_ARRANGEMENT not in [action.text() for action in menu.actions()]
