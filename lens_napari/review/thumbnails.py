"""Then and now: crops of two series around a lesion and its partner at the same scale in millimetres."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from lens_engine.findings import Box3D, SliceBox
from lens_engine.volume import Volume
from lens_engine.window_presets import Window

THUMBNAIL_SIDE = 140
"""Side of a crop in pixels of the screen."""
LEAST_SIDE_MM = 60.0
CONTEXT = 2.5
"""A crop is this many times wider than the larger lesion."""
OUTSIDE_HU = -1024


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnail:
    """A crop of an axial slice around a lesion.

    Attributes
    ----------
    pixels
        uint8 (h, w), windowed.
    box
        `(x1, y1, x2, y2)` of the lesion in pixels of the crop.
    caption
        Which scan it is from.
    """

    pixels: NDArray[np.uint8]
    box: tuple[float, float, float, float]
    caption: str


def common_side_mm(boxes: list[tuple[Box3D, Volume]]) -> float:
    """Return the width of crops in which all given lesions fit with some context, in mm."""
    widths = [
        max((box[3] - box[0]) * volume.geometry.spacing_mm[2], (box[4] - box[1]) * volume.geometry.spacing_mm[1])
        for box, volume in boxes
    ]
    return max(LEAST_SIDE_MM, CONTEXT * max(widths))


def crop(volume: Volume, section: SliceBox, side_mm: float, window: Window, caption: str) -> Thumbnail:
    """Return a square crop of one slice centred on a lesion.

    Parameters
    ----------
    section
        The slice and the box, half-open voxel edges.
    side_mm
        Side of the square.
    window
        Grey values.
    """
    x1, y1, x2, y2 = section.box
    _, sy, sx = volume.geometry.spacing_mm
    step_y, step_x = side_mm / sy / THUMBNAIL_SIDE, side_mm / sx / THUMBNAIL_SIDE
    top, left = (y1 + y2) / 2 - step_y * THUMBNAIL_SIDE / 2, (x1 + x2) / 2 - step_x * THUMBNAIL_SIDE / 2
    pixels = np.arange(THUMBNAIL_SIDE) + 0.5
    # Voxel edges to voxel centres: sampling takes the centre of voxel i as i.
    rows, columns = np.meshgrid(top + pixels * step_y - 0.5, left + pixels * step_x - 0.5, indexing="ij")
    hu = map_coordinates(
        volume.voxels[section.slice_index], [rows, columns], order=1, cval=OUTSIDE_HU, output=np.float32
    )
    box = ((x1 - left) / step_x, (y1 - top) / step_y, (x2 - left) / step_x, (y2 - top) / step_y)
    return Thumbnail(pixels=_windowed(hu, window), box=box, caption=caption)


def middle_section(slices: tuple[SliceBox, ...]) -> SliceBox:
    """Return the middle cross-section of a lesion."""
    return slices[len(slices) // 2]


def _windowed(hu: NDArray[np.float32], window: Window) -> NDArray[np.uint8]:
    low, _ = window.limits
    grey: NDArray[np.uint8] = np.clip((hu - low) / window.width * 255, 0, 255).astype(np.uint8)
    return grey
