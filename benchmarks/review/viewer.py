"""What the boxes cost in the viewer: a notch of the wheel and a verdict, against a slice change of a bare napari.

Both windows are open in one process, with the same volume and canvases of the same size. Needs a display (a virtual one
draws without a graphics card: `xvfb-run`).
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from benchmarks.measure import Comparison, Growth, compare
from benchmarks.review.viewer_project import EXPERTS, make_viewer_project
from lens_napari.application import open_project
from lens_napari.cli.display import has_display
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_until

SHAPE = (275, 512, 512)
FEW, MANY = 200, 10_000
PATIENCE_SECONDS = 120.0
REST_SECONDS = 0.05
BARE = "bare napari"


def run(*, full: bool) -> list[Comparison]:
    """Return what a wheel notch and a verdict cost, relative to a slice change of a bare viewer."""
    repeats = 40 if full else 15
    rows: list[Comparison] = []
    if not has_display():
        print("The viewer is left out: there is no display. xvfb-run -s '-screen 0 1600x1000x24' gives one.")
        return rows
    for rectangles in (FEW, MANY):
        with windows(rectangles) as two:
            rows.append(two.wheel(f"{rectangles} rectangles", repeats, 1 / 2))
            if rectangles == MANY:
                rows.append(two.verdict(f"{rectangles} rectangles", repeats, 1 / 3))
                rows.append(two.wheel_with_overview(repeats))
                rows.append(two.wheel_with_comparison(repeats))
                rows += [two.wheel_with_experts(shown, repeats) for shown in range(1, len(EXPERTS) + 1)]
    return rows


def growth(*, full: bool) -> list[Growth]:
    """Return how the cost of a wheel notch grows with the number of rectangles."""
    repeats = 40 if full else 15
    costs: list[float] = []
    if not has_display():
        return []
    for rectangles in (FEW, MANY):
        with windows(rectangles) as two:
            row = two.wheel("", repeats, 0.0)
            costs.append(row.ours_cpu_seconds / row.baseline_cpu_seconds)
    return [
        Growth("wheel", f"{FEW} rectangles", costs[0], f"{MANY} rectangles", costs[1], "bare slice changes", limit=1.2)
    ]


class TwoWindows:
    """A review and a bare viewer of the same volume."""

    def __init__(self, review: ReviewController, bare: Any) -> None:
        self._review, self._bare = review, bare
        self._canvas, self._bare_canvas = _canvas(review.viewer), _canvas(bare)
        self._steps = count(SHAPE[0] // 4)
        self._is_down = True

    def wheel(self, what: str, repeats: int, goal: float) -> Comparison:
        """Compare a notch of the wheel, until it is painted."""
        row = compare(f"one notch of the wheel, {what}", BARE, self._step, self._turn, repeats, self._rest)
        return row.wanted(goal)

    def wheel_with_experts(self, shown: int, repeats: int) -> Comparison:
        """Compare a notch of the wheel with the boxes of so many experts on screen, too."""
        for i, expert in enumerate(EXPERTS):
            self._review.worklist.legend.show_group(expert, i < shown)
        return self.wheel(f"{MANY} rectangles, {shown} experts shown", repeats, 1 / (2 + shown / 2))

    def wheel_with_overview(self, repeats: int) -> Comparison:
        """Compare a notch of the wheel with the whole series at a glance on screen, too."""
        review = self._review
        review.overview.toggled.emit()
        wait_until(lambda: all(one.section for one in review.overview.panel.pictures.values()), PATIENCE_SECONDS)
        row = self.wheel(f"{MANY} rectangles, overview shown", repeats, 1 / 2)
        review.overview.toggled.emit()
        wait_until(lambda: not review.overview.panel.is_seen, PATIENCE_SECONDS)
        return row

    def wheel_with_comparison(self, repeats: int) -> Comparison:
        """Compare a notch of the wheel with every box shown as true, false or missed."""
        review = self._review
        review.completeness.toggle()
        wait_until(lambda: review.truth.panel.isVisible(), PATIENCE_SECONDS)
        review.truth.toggle()
        wait_until(
            lambda: review.view.drawing is not None and review.view.drawing.compared is not None, PATIENCE_SECONDS
        )
        row = self.wheel(f"{MANY} rectangles, true, false and missed", repeats, 1 / 2)
        review.truth.toggle()
        return row

    def verdict(self, what: str, repeats: int, goal: float) -> Comparison:
        """Compare a verdict, until the next lesion is painted."""
        row = compare(f"verdict to the next lesion, {what}", BARE, self._jump, self._decide, repeats, self._rest)
        return row.wanted(goal)

    def _step(self) -> None:
        self._go_bare(next(self._steps) % SHAPE[0])

    def _jump(self) -> None:
        self._go_bare(next(self._steps) * 37 % SHAPE[0])

    def _go_bare(self, slice_index: int) -> None:
        with _painted(self._bare_canvas):
            self._bare.dims.set_current_step(0, slice_index)

    def _turn(self) -> None:
        position, last = self._review.viewer.dims.current_step[0], SHAPE[0] - 1
        self._is_down = position < last if self._is_down else position == 0
        with _painted(self._canvas):
            _turn_wheel(self._canvas.native, -120 if self._is_down else 120)

    def _decide(self) -> None:
        with _painted(self._canvas):
            QTest.keyClick(self._canvas.native, Qt.Key.Key_Y)

    def _rest(self) -> None:
        wait_until(lambda: self._review.session.pending == 0, PATIENCE_SECONDS)
        wait_until(lambda: False, REST_SECONDS)


@contextmanager
def windows(rectangles: int) -> Iterator[TwoWindows]:
    """Open a review with so many rectangles, and a bare viewer."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CONFIG_HOME"] = folder  # what the person who runs this has chosen stays out of it
        review = open_project(make_viewer_project(Path(folder), SHAPE, rectangles), start_worker=False)
        wait_ready(review, PATIENCE_SECONDS)
        loaded = review.view.loaded
        if loaded is None:
            raise SystemExit("The series was not shown")
        bare = napari.Viewer(show=False)
        bare.show()
        bare.add_image(loaded.volume.voxels, scale=loaded.volume.geometry.spacing_mm, contrast_limits=(-160, 240))
        wait_until(lambda: False, 1.0)
        _fit(bare, _canvas(review.viewer).native)
        yield TwoWindows(review, bare)
        review.close()
        bare.close()
        review.viewer.close()


@contextmanager
def _painted(canvas: Any) -> Iterator[None]:
    """Let the windows live until what is done inside has been painted."""
    painted: list[object] = []

    def note(event: object) -> None:
        painted.append(event)

    canvas.events.draw.connect(note)
    yield
    wait_until(lambda: bool(painted), PATIENCE_SECONDS)
    canvas.events.draw.disconnect(note)
    QApplication.processEvents()


def _fit(viewer: Any, pattern: QWidget) -> None:
    """Give the canvas of a viewer the size of another one."""
    window, canvas = viewer.window._qt_window, _canvas(viewer).native
    window.resize(
        window.width() + pattern.width() - canvas.width(), window.height() + pattern.height() - canvas.height()
    )
    wait_until(lambda: False, 1.0)


def _canvas(viewer: Any) -> Any:
    return viewer.window._qt_viewer.canvas._scene_canvas


def _turn_wheel(canvas: QWidget, delta: int) -> None:
    place = QPointF(canvas.width() / 2, canvas.height() / 2)
    no_button, no_key = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    event = QWheelEvent(
        place, place, QPoint(), QPoint(0, delta), no_button, no_key, Qt.ScrollPhase.NoScrollPhase, False
    )
    QApplication.sendEvent(canvas, event)
