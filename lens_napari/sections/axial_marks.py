"""Marks at the edges of the axial picture where the other sections cut it, and the click that moves them."""

from collections.abc import Iterator
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QFrame, QMainWindow, QWidget

from lens_napari.sections.picture import LINE_COLOUR

LENGTH, THICKNESS = 16, 2
LEFT_BUTTON = 1
PlaceMm = tuple[float, float]


class AxialMarks(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Four short lines at the edges, so that nothing lies over the lesion; Ctrl+click names another place.

    Parameters
    ----------
    viewer
        The napari viewer.
    main
        Its window.
    """

    picked = Signal(float, float)
    """The place (y, x) in mm that was clicked with Ctrl."""

    def __init__(self, viewer: Any, main: QMainWindow) -> None:
        super().__init__()
        self._viewer = viewer
        self._canvas = canvas = _canvas_in(main)
        self._place: PlaceMm | None = None
        self.marks = [_mark(canvas) for _ in range(4)]
        canvas.installEventFilter(self)
        viewer.mouse_drag_callbacks.append(self._pick)
        for emitter in self._what_moves_the_picture():
            emitter.connect(self._arrange)

    def show_at(self, place: PlaceMm | None) -> None:
        """Mark the sections through a place (y, x) in mm; None marks nothing."""
        if place != self._place:
            self._place = place
            self._arrange()

    def close(self) -> None:
        """Leave the picture as it was."""
        for emitter in self._what_moves_the_picture():
            emitter.disconnect(self._arrange)
        self._viewer.mouse_drag_callbacks.remove(self._pick)
        if isalive(self._canvas):
            self._canvas.removeEventFilter(self)
            for mark in self.marks:
                mark.deleteLater()
        self.marks.clear()

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # Qt's name
        """Follow the size of the picture."""
        if event.type() == QEvent.Type.Resize:
            self._arrange()
        return False

    def _what_moves_the_picture(self) -> tuple[Any, ...]:
        camera = self._viewer.scene.camera.events
        return camera.center, camera.zoom

    def _arrange(self, _event: object = None) -> None:
        width, height = self._canvas.width(), self._canvas.height()
        camera = self._viewer.scene.camera
        for mark in self.marks:
            mark.setVisible(self._place is not None)
        if self._place is not None and self.marks:
            down = round((self._place[0] - camera.center[-2]) * camera.zoom + height / 2)
            right = round((self._place[1] - camera.center[-1]) * camera.zoom + width / 2)
            top, bottom, left, far = self.marks
            top.setGeometry(right - THICKNESS // 2, 0, THICKNESS, LENGTH)
            bottom.setGeometry(right - THICKNESS // 2, height - LENGTH, THICKNESS, LENGTH)
            left.setGeometry(0, down - THICKNESS // 2, LENGTH, THICKNESS)
            far.setGeometry(width - LENGTH, down - THICKNESS // 2, LENGTH, THICKNESS)

    def _pick(self, _viewer: Any, event: Any) -> Iterator[None]:
        if event.button != LEFT_BUTTON or tuple(event.modifiers) != ("Control",):
            return
        y_mm, x_mm = (float(value) for value in event.position[-2:])
        yield
        while event.type == "mouse_move":
            yield
        self.picked.emit(y_mm, x_mm)


def _canvas_in(main: QMainWindow) -> QWidget:
    return next(child for child in main.findChildren(QWidget) if type(child).__name__.startswith("CanvasBackend"))


def _mark(canvas: QWidget) -> QFrame:
    mark = QFrame(canvas)
    mark.setStyleSheet(f"background: {LINE_COLOUR};")
    mark.hide()
    return mark
