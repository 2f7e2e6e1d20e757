"""What of the scan is on screen now, and bringing a place of it back there."""

from typing import Any

from napari.layers import Image

from lens_engine.findings import Box2D, SliceBox
from lens_engine.geometry import VolumeGeometry
from lens_napari.review.box_table import CANDIDATES
from lens_napari.review.sight import Picture
from lens_napari.viewer.layers import SeriesLayers, slice_on_screen
from lens_napari.viewer.voxel_frame import VOXEL_CENTRE

FIELD_OF_VIEW_MM = 260.0
"""Least part of the slice that stays visible around a lesion on arrival, so that the reader knows where it is."""
LARGEST_SHARE = 0.6
"""Of the picture that a lesion takes at most where it is brought back."""
LEAST_PIXELS = 8.0
"""That it takes at least there."""
AXIAL = (0, 1, 2)


def picture_of(viewer: Any, layers: SeriesLayers, geometry: VolumeGeometry) -> Picture:
    """Return what is on screen of the series that the layers show."""
    _, sy, sx = geometry.spacing_mm
    zoom = float(viewer.scene.camera.zoom)
    return Picture(
        slice_index=slice_on_screen(viewer, geometry) if _is_axial(viewer) else None,
        field=_field(viewer, sy, sx),
        pixels_per_voxel=zoom * sx,
        is_covered=bool(viewer.canvas.grid.enabled) or any(layer.visible for layer in foreign_images(viewer, layers)),
        shows_boxes=_shows_boxes(viewer, layers),
    )


def foreign_images(viewer: Any, layers: SeriesLayers) -> list[Any]:
    """Return the pictures in a viewer that are not the scan of the series on screen."""
    return [layer for layer in viewer.layers if isinstance(layer, Image) and layer is not layers.image]


def uncover(viewer: Any, layers: SeriesLayers) -> None:
    """Show the scan as an axial slice with the lesions' boxes above it, and nothing of another scan."""
    if not _is_axial(viewer):
        viewer.dims.ndisplay = 2
        viewer.dims.order = AXIAL
    viewer.canvas.grid.enabled = False
    for foreign in foreign_images(viewer, layers):
        foreign.visible = False
    if not _shows_boxes(viewer, layers):
        _stack(viewer, [layers.image, *layers.boxes.values()])
        layers.image.visible = layers.boxes[CANDIDATES].visible = True


def bring_in(viewer: Any, section: SliceBox, geometry: VolumeGeometry) -> None:
    """Move a place of the slice on screen into the picture where it is not well inside, at a size that can be seen."""
    _, sy, sx = geometry.spacing_mm
    x1, y1, x2, y2 = section.box
    camera, (height, width) = viewer.scene.camera, viewer.canvas.size
    largest = LARGEST_SHARE * min(height / ((y2 - y1) * sy), width / ((x2 - x1) * sx))
    least = min(LEAST_PIXELS / max((y2 - y1) * sy, (x2 - x1) * sx), largest)
    zoom = min(max(float(camera.zoom), least), largest)
    if zoom != camera.zoom:
        camera.zoom = zoom
    field = _field(viewer, sy, sx)
    is_inside = field[0] <= x1 and field[1] <= y1 and x2 <= field[2] and y2 <= field[3]
    if not is_inside or min(height, width) / zoom < FIELD_OF_VIEW_MM:
        camera.center = (0.0, ((y1 + y2) / 2 - VOXEL_CENTRE) * sy, ((x1 + x2) / 2 - VOXEL_CENTRE) * sx)


def _is_axial(viewer: Any) -> bool:
    return viewer.dims.ndisplay == 2 and tuple(viewer.dims.order) == AXIAL


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


def _shows_boxes(viewer: Any, layers: SeriesLayers) -> bool:
    boxes, shown = layers.boxes[CANDIDATES], list(viewer.layers)
    if boxes not in shown or layers.image not in shown or shown.index(layers.image) > shown.index(boxes):
        return False
    return bool(boxes.visible and layers.image.visible)


def _stack(viewer: Any, ours: list[Any]) -> None:
    """Put layers into the viewer where they are missing, lowest first below whatever else there is."""
    for place, layer in enumerate(ours):
        if layer not in viewer.layers:
            viewer.layers.insert(place, layer)
        elif viewer.layers.index(layer) != place:
            viewer.layers.move(viewer.layers.index(layer), place)
