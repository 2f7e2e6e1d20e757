"""What lies over the picture while boxes are edited and lengths measured: handles and rulers, thin and of one size."""

from collections.abc import Callable, Sequence
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

Marks = tuple[int, float, tuple[Point, ...], tuple[Ruler, ...]]


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
        pixel = 1 / zoom / sx
        half = HANDLE_PIXELS / 2 / zoom
        squares = [_square(slice_index, point, half / sy, half / sx) for point in handles]
        lines = [np.asarray([_voxel(slice_index, end, sy, sx) for end in (r.start_mm, r.end_mm)]) for r in rulers]
        ends = [_square(slice_index, (line[1][2] + VOXEL_CENTRE, line[1][1] + VOXEL_CENTRE), pixel, pixel) for line in lines]
        unmarked = len(squares) + len(lines)
        # As for the boxes: nothing in between is sliced, drawn or measured by napari.
        with self.layer.events.blocker_all():
            self.layer.visible = False
            self.layer.data = []
            self.layer.add(
                [*squares, *lines, *ends],
                shape_type=["rectangle"] * len(squares) + ["line"] * len(lines) + ["rectangle"] * len(ends),
                edge_width=[pixel] * len(squares) + [LINE_PIXELS * pixel] * len(lines) + [pixel] * len(ends),
                edge_color=["black"] * len(squares) + [RULER_COLOUR] * (len(lines) + len(ends)),
                face_color=[HANDLE_COLOUR] * len(squares) + ["transparent"] * len(lines) + [RULER_COLOUR] * len(ends),
            )
            # The length stands where the drag ended, so that those of two axes do not lie on each other.
            self.layer.features = {"words": [""] * unmarked + [ruler.words for ruler in rulers]}
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


def _square(slice_index: int, point: Point, half_y: float, half_x: float) -> NDArray[np.float64]:
    x, y = point[0] - VOXEL_CENTRE, point[1] - VOXEL_CENTRE
    ends = ((y - half_y, x - half_x), (y - half_y, x + half_x), (y + half_y, x + half_x), (y + half_y, x - half_x))
    return np.asarray([[slice_index, *end] for end in ends], dtype=np.float64)


def _voxel(slice_index: int, point_mm: PointMm, sy: float, sx: float) -> tuple[float, float, float]:
    return slice_index, point_mm[0] / sy, point_mm[1] / sx
