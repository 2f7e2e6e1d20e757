"""Lengths on a slice in millimetres."""

from dataclasses import dataclass
from math import dist

PointMm = tuple[float, float]
"""(y, x) from the first voxel of the slice."""


@dataclass(frozen=True, slots=True)
class Ruler:
    """A length that was measured on one slice."""

    slice_index: int
    start_mm: PointMm
    end_mm: PointMm

    @property
    def length_mm(self) -> float:
        """Distance of its ends in the plane of the slice."""
        return dist(self.start_mm, self.end_mm)

    @property
    def words(self) -> str:
        """The length as it is told."""
        return f"{self.length_mm:.1f} mm"
