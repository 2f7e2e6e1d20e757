"""Drags with the left button that are about a box or a length; every other one stays napari's."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from lens_napari.editing.ruler import PointMm
from lens_napari.viewer.display import LEFT_BUTTON


class Drag(Protocol):
    """What a drag does from the press of the button on."""

    def to(self, point_mm: PointMm) -> None:
        """Follow the pointer."""

    def end(self) -> None:
        """Take note that the button is up."""


Begin = Callable[[PointMm], Drag | None]
"""Returns what a drag from a point of the slice on screen does; None where it is napari's."""


class DragTool:
    """Asks about each drag with the left button alone whose it is.

    Parameters
    ----------
    viewer
        The napari viewer.
    begin
        Called with the point where the button went down.
    """

    def __init__(self, viewer: Any, begin: Begin) -> None:
        self._viewer = viewer
        self._begin = begin
        viewer.mouse_drag_callbacks.append(self._drag)

    def close(self) -> None:
        """Leave every drag to napari."""
        self._viewer.mouse_drag_callbacks.remove(self._drag)

    def _drag(self, viewer: Any, event: Any) -> Iterator[None]:
        if event.button != LEFT_BUTTON or event.modifiers:
            return
        drag = self._begin(_point_mm(event))
        if drag is None:
            return
        viewer.scene.camera.mouse_pan = False
        yield
        while event.type == "mouse_move":
            drag.to(_point_mm(event))
            event.handled = True
            yield
        drag.to(_point_mm(event))  # where the button is up: moves in quick succession are not told
        drag.end()
        viewer.scene.camera.mouse_pan = True


def _point_mm(event: Any) -> PointMm:
    _, y, x = event.position[-3:]
    return float(y), float(x)
