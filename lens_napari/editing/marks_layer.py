"""What lies over the picture while boxes are edited and lengths measured: handles and rulers, thin and of one size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lens_napari.editing.geometry import Point
from lens_napari.editing.ruler import PointMm, Ruler
from lens_napari.viewer.voxel_frame import AXIS_LABELS, UNITS, VOXEL_CENTRE

NAME = "handles and lengths"
HANDLE_PIXELS = 6.0
"""Side of a handle on the screen."""
LINE_PIXELS = 1.5
HANDLE_COLOUR = "#FFFFFF"
RULER_COLOUR = "#E6C15A"

END_PIXELS = 3.0
"""Side of the point at the end of a ruler."""

Marks = tuple[int, float, tuple[Point, ...], tuple[Ruler, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """One shape in napari's voxel-centre coordinates, (n, 3) as (z, y, x)."""

    corners: NDArray[np.float64]
    kind: str
    line_pixels: float
    line_colour: str
    colour: str
    words: str = ""


class MarksLayer:
    """One Shapes layer above the boxes; it is made when there is something to draw for the first time.

    Parameters
    ----------
    viewer
        The napari viewer.
    spacing_mm
        Returns the size of a voxel (z, y, x) of the series on screen.
    on_new_layer
        Called with the layer, for key bindings and the guard.
    """

    def __init__(
        self, viewer: Any, spacing_mm: Callable[[], tuple[float, ...]], on_new_layer: Callable[[Any], None]
    ) -> None:
        self._viewer = viewer
        self._spacing_mm = spacing_mm
        self._on_new_layer = on_new_layer
        self._drawn: Marks | None = None
        self.layer: Any = None
        """None until something was drawn."""

    def draw(self, slice_index: int, zoom: float, handles: Sequence[Point], rulers: Sequence[Ruler]) -> None:
        """Show these and no others on the slice on screen; `zoom` is in screen pixels per millimetre."""
        if not handles and not rulers:
            self.clear()
            return
        marks = slice_index, round(zoom, 3), tuple(handles), tuple(rulers)
        if marks != self._drawn:
            self._drawn = marks
            self._fill(*marks)

    def clear(self) -> None:
        """Show nothing."""
        if self._drawn is not None:
            self._drawn = None
            with self.layer.events.blocker_all():
                self.layer.data = []
            self.layer.visible = False

    def rescale(self) -> None:
        """Follow the voxels of another series."""
        if self.layer is not None:
            self.clear()
            self.layer.scale = self._spacing_mm()

    def _fill(self, slice_index: int, zoom: float, handles: Sequence[Point], rulers: Sequence[Ruler]) -> None:
        if self.layer is None:
            self._make_layer()
        _, sy, sx = self._spacing_mm()
        shapes = [_square(slice_index, point, HANDLE_PIXELS / zoom, (sy, sx)) for point in handles]
        for ruler in rulers:
            shapes += _line_with_end(slice_index, ruler, END_PIXELS / zoom, (sy, sx))
        # As for the boxes: nothing in between is sliced, drawn or measured by napari.
        with self.layer.events.blocker_all():
            self.layer.visible = False
            self.layer.data = []
            self.layer.add(
                [shape.corners for shape in shapes],
                shape_type=[shape.kind for shape in shapes],
                edge_width=[shape.line_pixels / zoom / sx for shape in shapes],
                edge_color=[shape.line_colour for shape in shapes],
                face_color=[shape.colour for shape in shapes],
            )
            self.layer.features = {"words": [shape.words for shape in shapes]}
            self.layer.text.visible = bool(rulers)
            self.layer.visible = True
        self.layer.events.visible()
        self.layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _make_layer(self) -> None:
        active = self._viewer.layers.selection.active
        self.layer = self._viewer.add_shapes(
            ndim=3,
            name=NAME,
            scale=self._spacing_mm(),
            units=UNITS,
            axis_labels=AXIS_LABELS,
            opacity=1.0,
            visible=False,
            features={"words": np.empty(0, dtype=object)},
            text={"string": "{words}", "anchor": "upper_left", "size": 11, "color": RULER_COLOUR},
        )
        self.layer.events.highlight.block()
        self._on_new_layer(self.layer)
        self._viewer.layers.selection.active = active


def _square(
    slice_index: int, point: Point, side_mm: float, spacing_mm: PointMm, colour: str = HANDLE_COLOUR, words: str = ""
) -> _Shape:
    x, y = point[0] - VOXEL_CENTRE, point[1] - VOXEL_CENTRE
    dy, dx = (side_mm / 2 / step for step in spacing_mm)
    ends = ((y - dy, x - dx), (y - dy, x + dx), (y + dy, x + dx), (y + dy, x - dx))
    corners = np.asarray([[slice_index, *end] for end in ends], dtype=np.float64)
    return _Shape(corners, "rectangle", 1.0, "black", colour, words)


def _line_with_end(slice_index: int, ruler: Ruler, side_mm: float, spacing_mm: PointMm) -> list[_Shape]:
    """Return a line, and the point where the drag ended: there stands the length, apart from that of another line."""
    sy, sx = spacing_mm
    ends = [(slice_index, y / sy, x / sx) for y, x in (ruler.start_mm, ruler.end_mm)]
    line = _Shape(np.asarray(ends, dtype=np.float64), "line", LINE_PIXELS, RULER_COLOUR, "transparent")
    _, y, x = ends[1]
    end = (x + VOXEL_CENTRE, y + VOXEL_CENTRE)
    return [line, _square(slice_index, end, side_mm, spacing_mm, RULER_COLOUR, ruler.words)]
