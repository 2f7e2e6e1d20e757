"""Whether a reader can see the lesion asked about: on its slices, inside the picture, drawn. No Qt and no napari."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from lens_engine.findings import Box2D, SliceBox

MIN_SHARE = 0.5
"""Least share of a cross-section that lies inside the picture; of the picture, where the cross-section is larger."""
MIN_PIXELS = 2.0
"""Least length of the longer side of a box on the screen."""


class Unseen(Enum):
    """Why the reader cannot see a lesion, in the order in which it is told."""

    COVERED = "another picture lay over the scan"
    ON_ANOTHER_SLICE = "another slice was on screen"
    HIDDEN = "its box was hidden"
    OUTSIDE = "it was outside the picture"
    TOO_SMALL = "it was too small to see"


@dataclass(frozen=True, slots=True)
class Picture:
    """What is on screen.

    Attributes
    ----------
    slice_index
        The canonical slice.
    field
        What of the slice lies inside the window, in voxel edges.
    pixels_per_voxel
        Of the screen, along a row.
    is_covered
        Whether a picture of something else lies over the scan.
    shows_boxes
        Whether the scan is there, and the boxes of the lesions above it.
    """

    slice_index: int
    field: Box2D
    pixels_per_voxel: float
    is_covered: bool
    shows_boxes: bool


def why_unseen(slices: Sequence[SliceBox], picture: Picture) -> Unseen | None:
    """Return why a lesion with these cross-sections cannot be seen, None where it can."""
    if picture.is_covered:
        return Unseen.COVERED
    box = next((section.box for section in slices if section.slice_index == picture.slice_index), None)
    if box is None:
        return Unseen.ON_ANOTHER_SLICE
    if not picture.shows_boxes:
        return Unseen.HIDDEN
    if _shared_area(box, picture.field) < MIN_SHARE * min(_area(box), _area(picture.field)):
        return Unseen.OUTSIDE
    longer = max(box[2] - box[0], box[3] - box[1])
    return Unseen.TOO_SMALL if longer * picture.pixels_per_voxel < MIN_PIXELS else None


def _shared_area(box: Box2D, other: Box2D) -> float:
    return _area((max(box[0], other[0]), max(box[1], other[1]), min(box[2], other[2]), min(box[3], other[3])))


def _area(box: Box2D) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
