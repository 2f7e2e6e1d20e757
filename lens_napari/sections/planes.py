"""Where a section lies in a volume: places on its picture in millimetres, and the voxels that are there.

A section is one slice of the canonical array across one of its axes, shown as radiologists look at it: head or front
up, the patient's right, or front, on the left. Nothing is turned: where the volume is turned against the patient by a
few degrees, as `VolumeGeometry` allows, its sections are, too. A place on a picture is `(down, right)` in mm from the
upper left corner, which is an edge of the first voxel. Needs neither Qt nor napari.
"""

import math
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lens_engine.geometry import VolumeGeometry

AXIS_ENDS = (("H", "F"), ("A", "P"), ("R", "L"))
"""Letters of head and feet, front (anterior) and back (posterior), right and left, by canonical axis."""

Voxel = tuple[int, int, int]
"""Indices (z, y, x)."""
PlaceMm = tuple[float, float]
"""Down and right of the upper left corner of a section, in mm."""


class Letters(NamedTuple):
    """What stands at the edges of a section."""

    top: str
    bottom: str
    left: str
    right: str


class Plane(Enum):
    """The planes of a volume, each as its canonical axes: across it, down its picture, right in its picture."""

    AXIAL = (0, 1, 2)
    CORONAL = (1, 0, 2)
    SAGITTAL = (2, 0, 1)

    @property
    def across(self) -> int:
        """Canonical axis along which the section moves."""
        return self.value[0]

    @property
    def down(self) -> int:
        """Canonical axis of the rows of its picture."""
        return self.value[1]

    @property
    def right(self) -> int:
        """Canonical axis of the columns of its picture."""
        return self.value[2]

    @property
    def label(self) -> str:
        """Name on the screen."""
        return self.name.lower()

    @property
    def letters(self) -> Letters:
        """What stands at the edges of its picture."""
        return Letters(*AXIS_ENDS[self.down], *AXIS_ENDS[self.right])

    def pixel_mm(self, geometry: VolumeGeometry) -> PlaceMm:
        """Return the height of a row and the width of a column."""
        return geometry.spacing_mm[self.down], geometry.spacing_mm[self.right]

    def size_mm(self, geometry: VolumeGeometry) -> PlaceMm:
        """Return height and width of a section."""
        row_mm, column_mm = self.pixel_mm(geometry)
        return geometry.shape[self.down] * row_mm, geometry.shape[self.right] * column_mm

    def place_of(self, voxel: Voxel, geometry: VolumeGeometry) -> PlaceMm:
        """Return where the middle of a voxel is on the section through it."""
        row_mm, column_mm = self.pixel_mm(geometry)
        return (voxel[self.down] + 0.5) * row_mm, (voxel[self.right] + 0.5) * column_mm

    def voxel_at(self, place: PlaceMm, section: int, geometry: VolumeGeometry) -> Voxel:
        """Return the voxel at a place of a section, or the nearest one where the place is outside."""
        row_mm, column_mm = self.pixel_mm(geometry)
        voxel = [0, 0, 0]
        voxel[self.across] = section
        voxel[self.down] = math.floor(place[0] / row_mm)
        voxel[self.right] = math.floor(place[1] / column_mm)
        return inside(voxel, geometry)

    def cut(self, voxels: NDArray[np.int16], section: int) -> NDArray[np.int16]:
        """Return a section of `[z, y, x]` as `[row, column]` (a view)."""
        picture: NDArray[np.int16] = np.moveaxis(voxels, self.value, (0, 1, 2))[section]
        return picture

    def moved(self, voxel: Voxel, distance_mm: float, geometry: VolumeGeometry) -> Voxel:
        """Return the voxel on the section that lies a distance further on, by one section at least.

        A distance below 0 leads back; the first and the last section are not left.
        """
        steps = max(1, round(abs(distance_mm) / geometry.spacing_mm[self.across]))
        moved = list(voxel)
        moved[self.across] += steps if distance_mm > 0 else -steps
        return inside(moved, geometry)


def inside(voxel: Any, geometry: VolumeGeometry) -> Voxel:
    """Return the voxel of the volume that is nearest to three indices."""
    z, y, x = (min(max(int(index), 0), size - 1) for index, size in zip(voxel, geometry.shape, strict=True))
    return z, y, x


def linked_slice(
    slice_index: int, key_slice: int, geometry: VolumeGeometry, partner_key_slice: int, partner: VolumeGeometry
) -> int:
    """Return the slice of a partner as many millimetres from its key slice as a slice is from its own.

    The nearest one is taken; it may lie outside the partner.
    """
    distance_mm = (slice_index - key_slice) * geometry.spacing_mm[0]
    return partner_key_slice + round(distance_mm / partner.spacing_mm[0])
