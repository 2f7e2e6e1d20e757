"""The napari layers of one series: the CT, and one Shapes layer per expert, fusion, annotations and candidates.

Layers show what `lens_napari.review.box_table.resolve` says and hold no truth. Only rectangles of the slice on screen
exist, and a layer without any is invisible, so that scrolling costs what is seen and not how many boxes there are.
World coordinates are millimetres from the first voxel.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lens_engine.evaluation.outcomes import Outcome
from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume
from lens_engine.window_presets import Window
from lens_napari.review.box_table import ANNOTATIONS, CANDIDATES, BoxState, Rectangle
from lens_napari.review.wording import MARK_OF_STATE
from lens_napari.viewer.palette import (
    ANNOTATION_COLOUR,
    BAD,
    CANDIDATE_COLOUR,
    FALSE,
    GOOD,
    MISSED,
    TRUE,
    UNDECIDED,
)
from lens_napari.viewer.steady_meshes import keep_shader_of_boxes
from lens_napari.viewer.voxel_frame import AXIS_LABELS, UNITS, VOXEL_CENTRE

ASKED_PIXELS, COMPARED_PIXELS, OTHER_PIXELS = 3.0, 2.0, 1.0
FULL, DECIDED, DIMMED = 1.0, 0.5, 0.4
"""Opacity of a line."""
COLOUR_OF_STATE = {BoxState.ACCEPTED: GOOD, BoxState.REJECTED: BAD, BoxState.UNSURE: UNDECIDED}

COLOUR_OF_OUTCOME = {Outcome.HIT: TRUE, Outcome.FALSE_POSITIVE: FALSE, Outcome.MISSED: MISSED}
MARK_OF_OUTCOME = {Outcome.HIT: "true", Outcome.FALSE_POSITIVE: "false", Outcome.MISSED: "missed"}


class SeriesLayers:
    """Owns the layers of the viewer and changes only those whose rectangles have changed.

    Parameters
    ----------
    viewer
        The napari viewer.
    colours
        The colour of each expert and of the fusion, in drawing order.
    on_new_layer
        Called with each new layer, for key bindings.
    on_toggled
        Called with a group and whether it is wanted, when the reader opens or closes its eye in napari's own list.
    """

    def __init__(
        self,
        viewer: Any,
        colours: Mapping[str, str],
        on_new_layer: Callable[[Any], None],
        on_toggled: Callable[[str, bool], None],
    ) -> None:
        self._viewer = viewer
        self._colours = dict(colours) | {ANNOTATIONS: ANNOTATION_COLOUR, CANDIDATES: CANDIDATE_COLOUR}
        self._on_new_layer = on_new_layer
        self._on_toggled = on_toggled
        self._is_changing = False
        self._without_thumbnails = ExitStack()
        self._drawn: dict[str, tuple[tuple[Rectangle, ...], int, float]] = {}
        self._spacing_mm = (1.0, 1.0, 1.0)
        self.image: Any = None
        """The CT; None until the first volume is shown."""
        self.boxes: dict[str, Any] = {}
        """The Shapes layer of each group."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups, bottom layer first."""
        return tuple(self._colours)

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Size of a voxel (z, y, x) of the volume on screen."""
        return self._spacing_mm

    def colour_of(self, group: str) -> str:
        """Return the colour of a group."""
        return self._colours[group]

    def show_volume(self, volume: Volume, name: str, window: Window) -> None:
        """Replace what is shown by another volume, without boxes."""
        self._spacing_mm = volume.geometry.spacing_mm
        for group in self.boxes:
            self._empty(group)
        if self.image is None:
            self._add_layers(volume, window)
        else:
            # Layers are kept: napari collects garbage for each removed one, which takes longer than reading a scan.
            self.image.data = volume.voxels
            for layer in (self.image, *self.boxes.values()):
                layer.scale = self._spacing_mm
        self.image.name = f"CT {name}"
        self.set_window(window)

    def draw(self, rectangles: Mapping[str, Sequence[Rectangle]], slice_index: int, zoom: float) -> None:
        """Show these rectangles on the slice that is on screen.

        Parameters
        ----------
        zoom
            Screen pixels per millimetre, so that lines keep their width on the screen.
        """
        for group, wanted in rectangles.items():
            state = (tuple(wanted), slice_index if wanted else -1, round(zoom, 2) if wanted else 0.0)
            if self._drawn.get(group) != state and group in self.boxes:
                self._drawn[group] = state
                self._fill(group, state[0], slice_index, zoom)

    def set_window(self, window: Window) -> None:
        """Set the grey values of the CT."""
        if self.image is not None:
            low, high = window.limits
            self.image.contrast_limits_range = (min(low, -3024), max(high, 4095))
            self.image.contrast_limits = (low, high)

    def close(self) -> None:
        """Leave the CT to the viewer without boxes, which would not follow the slices any more."""
        for group in self.boxes:
            self._empty(group)

    def _add_layers(self, volume: Volume, window: Window) -> None:
        self.image = self._viewer.add_image(
            volume.voxels,
            scale=self._spacing_mm,
            units=UNITS,
            axis_labels=AXIS_LABELS,
            contrast_limits=window.limits,
            colormap="gray",
            interpolation2d="linear",
        )
        self._on_new_layer(self.image)
        self.boxes = {group: self._new_boxes_layer(group) for group in self._colours}
        self._viewer.layers.selection.active = self.image

    def _empty(self, group: str) -> None:
        self._drawn.pop(group, None)
        self._fill(group, (), 0, 1.0)

    def _new_boxes_layer(self, group: str) -> Any:
        # Candidates carry verdicts. A text costs a layer time even where it is empty, unless it is invisible; the other
        # groups get theirs when there is something to say.
        marks: dict[str, Any] = {}
        if group == CANDIDATES:
            marks = {"features": {"mark": np.empty(0, dtype=object)}, "text": self._text_of(group)}
        layer = self._viewer.add_shapes(
            ndim=3,
            name=group,
            scale=self._spacing_mm,
            units=UNITS,
            axis_labels=AXIS_LABELS,
            edge_color=self._colours[group],
            face_color="transparent",
            opacity=1.0,  # napari's own is 0.7: nothing would be loud
            visible=False,
            **marks,
        )
        layer.editable = False
        layer.text.visible = False
        # Nothing in it can be selected, yet napari would build the outline of the selection anew on every slice.
        layer.events.highlight.block()
        self._without_thumbnails.enter_context(layer.block_thumbnail_update())
        layer.events.visible.connect(lambda _: self._on_visible(group))
        keep_shader_of_boxes(self._viewer, layer)
        self._on_new_layer(layer)
        return layer

    def _on_visible(self, group: str) -> None:
        if not self._is_changing:
            self._on_toggled(group, bool(self.boxes[group].visible))

    def _fill(self, group: str, rectangles: Sequence[Rectangle], slice_index: int, zoom: float) -> None:
        layer = self.boxes[group]
        was_visible = layer.visible
        # The rectangles lie inside the CT: napari need not measure all layers again, nor slice, draw and picture what
        # is on the way, which it spares invisible layers.
        with layer.events.blocker_all():
            layer.visible = False
            if layer.nshapes:
                layer.data = []
            if rectangles:
                self._add(layer, rectangles, slice_index, zoom)
            layer.visible = bool(rectangles)
        if was_visible != layer.visible:
            with self._changing():
                layer.events.visible()
        layer.refresh(thumbnail=False, highlight=False, extent=False)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self._is_changing = True
        try:
            yield
        finally:
            self._is_changing = False

    def _add(self, layer: Any, rectangles: Sequence[Rectangle], slice_index: int, zoom: float) -> None:
        pixel = 1.0 / max(zoom * self._spacing_mm[2], 1e-6)  # of the screen, in voxels
        layer.add_rectangles(
            [corners(rectangle, slice_index) for rectangle in rectangles],
            edge_width=[line_pixels(rectangle) * pixel for rectangle in rectangles],
            edge_color=np.asarray([self._colour(rectangle) for rectangle in rectangles]),
            face_color="transparent",
        )
        self._write(layer, rectangles[0].group, [mark(rectangle) for rectangle in rectangles])

    def _write(self, layer: Any, group: str, marks: Sequence[str]) -> None:
        """Write marks at the corners of rectangles."""
        has_text = "mark" in layer.features
        if has_text or any(marks):
            layer.features = {"mark": marks}
            if not has_text:
                layer.text = self._text_of(group)
            layer.text.visible = any(marks)

    def _text_of(self, group: str) -> dict[str, Any]:
        return {"string": "{mark}", "anchor": "upper_left", "size": 10, "color": self._colours[group]}

    def _colour(self, rectangle: Rectangle) -> tuple[float, float, float, float]:
        name = COLOUR_OF_STATE.get(rectangle.state, self._colours[rectangle.group])
        if rectangle.outcome is not None:
            name = COLOUR_OF_OUTCOME[rectangle.outcome]
        red, green, blue = (int(name[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return red, green, blue, strength(rectangle)


def mark(rectangle: Rectangle) -> str:
    """Return what is written at the corner of a rectangle; nothing for most."""
    if rectangle.outcome is not None:
        return MARK_OF_OUTCOME[rectangle.outcome]
    return MARK_OF_STATE.get(rectangle.state, "")


def line_pixels(rectangle: Rectangle) -> float:
    """Return the width of the lines of a rectangle on the screen."""
    if rectangle.state is BoxState.ASKED:
        return ASKED_PIXELS
    return OTHER_PIXELS if rectangle.outcome is None else COMPARED_PIXELS


def strength(rectangle: Rectangle) -> float:
    """Return the opacity of the lines of a rectangle."""
    if rectangle.is_dimmed:
        return DIMMED
    return DECIDED if rectangle.state.is_decided else FULL


def corners(rectangle: Rectangle, slice_index: int) -> NDArray[np.float64]:
    """Return the four corners of a rectangle in napari's voxel-centre coordinates, (4, 3) as (z, y, x)."""
    x1, y1, x2, y2 = (edge - VOXEL_CENTRE for edge in rectangle.box)
    return np.asarray([[slice_index, y, x] for y, x in ((y1, x1), (y1, x2), (y2, x2), (y2, x1))], dtype=np.float64)


def slice_on_screen(viewer: Any, geometry: VolumeGeometry) -> int:
    """Return the canonical slice that the viewer shows."""
    position = float(viewer.dims.point[0]) / geometry.spacing_mm[0]
    return int(np.clip(round(position), 0, geometry.shape[0] - 1))
