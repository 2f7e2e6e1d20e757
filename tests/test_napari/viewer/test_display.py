"""The HU in the corner are those of the voxel under the pointer, whatever moved the picture below it."""

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtWidgets import QApplication

from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_until

PATIENCE_SECONDS = 60.0
NO_BUTTON, NO_MODIFIER = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
POINTER = QPoint(190, 170)
Press = Callable[..., None]


def canvas_of(review: ReviewController) -> Any:
    return review.viewer.window._qt_viewer.canvas.native


def point_at(canvas: Any, place: QPoint) -> None:
    QApplication.sendEvent(
        canvas, QMouseEvent(QEvent.Type.MouseMove, QPointF(place), NO_BUTTON, NO_BUTTON, NO_MODIFIER)
    )


def shown_hu(review: ReviewController) -> str:
    """Return the last line of the corner where it is about HU."""
    last = review.view.texts.text("top_right").splitlines()[-1]
    return last if last.endswith(" HU") else ""


def hu_by_napari(review: ReviewController, place: QPoint) -> str:
    """Return what the corner has to say, with the position as napari works it out."""
    canvas = review.viewer.window._qt_viewer.canvas
    position = canvas._map_canvas2world((place.x(), place.y()), canvas.view)
    assert review.view.loaded is not None
    volume = review.view.loaded.volume
    z, y, x = np.round(np.asarray(position) / volume.geometry.spacing_mm).astype(int)
    return f"{volume.voxels[z, y, x]} HU"


def test_the_value_follows_the_picture_that_moves_below_a_pointer_at_rest(
    review: ReviewController, press: Press
) -> None:
    canvas = canvas_of(review)
    point_at(canvas, POINTER)
    assert shown_hu(review) == hu_by_napari(review, POINTER)
    seen = set()
    for move in (
        lambda: press(Qt.Key.Key_Right),
        lambda: turn_wheel(canvas, NO_MODIFIER),
        lambda: turn_wheel(canvas, Qt.KeyboardModifier.ControlModifier),
        lambda: review.viewer.window._qt_viewer.dims.slider_widgets[0].slider.setValue(3),
        lambda: press(Qt.Key.Key_J),
        lambda: press(Qt.Key.Key_K),
        lambda: press(Qt.Key.Key_G),
    ):
        move()
        assert wait_ready(review, PATIENCE_SECONDS)
        assert shown_hu(review) == hu_by_napari(review, POINTER)
        seen.add(shown_hu(review))
    assert len(seen) > 2


def test_no_value_is_shown_where_the_pointer_is_on_no_voxel(review: ReviewController) -> None:
    canvas = canvas_of(review)
    point_at(canvas, POINTER)
    assert shown_hu(review)
    review.viewer.scene.camera.zoom /= 10  # the slice is a stamp in the middle of the canvas
    assert shown_hu(review) == ""
    review.viewer.scene.camera.zoom *= 10
    assert shown_hu(review)
    QApplication.sendEvent(canvas, QEvent(QEvent.Type.Enter))
    QApplication.sendEvent(canvas, QEvent(QEvent.Type.Leave))
    assert wait_until(lambda: shown_hu(review) == "", PATIENCE_SECONDS)


def turn_wheel(canvas: Any, modifier: Qt.KeyboardModifier) -> None:
    place = QPointF(POINTER)
    event = QWheelEvent(
        place, place, QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton, modifier, Qt.ScrollPhase.NoScrollPhase, False
    )
    QApplication.sendEvent(canvas, event)
