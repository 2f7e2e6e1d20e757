"""What of the scan is on screen now. That it is an axial slice, upright and in its place, is the guard's business."""

from typing import Any

from napari.layers import Image

from lens_engine.findings import Box2D
from lens_engine.geometry import VolumeGeometry
from lens_napari.review.box_table import CANDIDATES
from lens_napari.review.sight import Picture
from lens_napari.viewer.layers import SeriesLayers, slice_on_screen
from lens_napari.viewer.voxel_frame import AXIS_LABELS, VOXEL_CENTRE


def picture_of(viewer: Any, layers: SeriesLayers, geometry: VolumeGeometry, group: str = CANDIDATES) -> Picture:
    """Return what is on screen of the series that the layers show, and whether boxes of a group are."""
    _, sy, sx = geometry.spacing_mm
    return Picture(
        slice_index=slice_on_screen(viewer, geometry),
        field=_field(viewer, sy, sx),
        pixels_per_voxel=float(viewer.scene.camera.zoom) * sx,
        is_covered=any(is_foreign(layer, layers) for layer in viewer.layers),
        shows_boxes=_shows_boxes(viewer, layers, group),
    )


def is_foreign(layer: Any, layers: SeriesLayers) -> bool:
    """Return whether a layer is a picture that is not the scan on screen, or has axes that the scan has not."""
    return layer is not layers.image and (isinstance(layer, Image) or layer.ndim > len(AXIS_LABELS))


def _field(viewer: Any, sy: float, sx: float) -> Box2D:
    """Return the part of the slice inside the window, in voxel edges."""
    camera, (height, width) = viewer.scene.camera, viewer.canvas.size
    y, x = (float(value) for value in camera.center[-2:])
    half_y, half_x = height / camera.zoom / 2, width / camera.zoom / 2
    return (
        (x - half_x) / sx + VOXEL_CENTRE,
        (y - half_y) / sy + VOXEL_CENTRE,
        (x + half_x) / sx + VOXEL_CENTRE,
        (y + half_y) / sy + VOXEL_CENTRE,
    )


def _shows_boxes(viewer: Any, layers: SeriesLayers, group: str) -> bool:
    # What was removed or moved comes back when napari is done with it: until then nothing can be decided.
    boxes, shown = layers.boxes[group], list(viewer.layers)
    is_above = boxes in shown and layers.image in shown and shown.index(layers.image) < shown.index(boxes)
    return bool(is_above and boxes.visible)
