"""Where a volume lies in the patient: the one canonical frame and its way back to the source file.

Inside the product an array is `[z, y, x]`: z from head to feet, y from front to back, x from the patient's right to the
left, which is DeepLesion's order and how an axial slice is looked at. Points in millimetres are DICOM LPS, `(x, y, z)`.
Only readers and exporters use the way back (`source_axes`, `source_flips`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import GeometryError

CANONICAL_DIRECTIONS_LPS = ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
"""LPS unit vectors along which the canonical z, y and x indices grow."""

MAX_TILT_DEGREES = 15.0
"""A series whose axes deviate from the patient's by more than this is not an axial series."""

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class VolumeGeometry:
    """Size, spacing and position of a canonical volume, without its voxels.

    Attributes
    ----------
    shape
        Voxels along (z, y, x).
    spacing_mm
        Distance of voxel centres along (z, y, x).
    origin_mm
        LPS position (x, y, z) of the centre of voxel [0, 0, 0].
    directions
        LPS unit vectors of the z, y and x axes; near `CANONICAL_DIRECTIONS_LPS`.
    source_axes
        Canonical axis i is axis `source_axes[i]` of the source array.
    source_flips
        Whether canonical axis i runs against its source axis.
    first_slice_number
        Number that the source gives to canonical slice 0 (DeepLesion counts from 1).
    """

    shape: tuple[int, int, int]
    spacing_mm: Vector
    origin_mm: Vector = (0.0, 0.0, 0.0)
    directions: tuple[Vector, Vector, Vector] = CANONICAL_DIRECTIONS_LPS
    source_axes: tuple[int, int, int] = (0, 1, 2)
    source_flips: tuple[bool, bool, bool] = (False, False, False)
    first_slice_number: int = 1

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryError(
                f"The volume has shape {self.shape}",
                "Three axes of at least one voxel are needed",
                "Choose a 3D CT series",
            )
        if not all(np.isfinite(self.spacing_mm)) or min(self.spacing_mm) <= 0:
            raise GeometryError(
                f"The voxel spacing is {self.spacing_mm} mm",
                "Three positive numbers are needed",
                "Correct the header or choose another series",
            )
        if not all(np.isfinite(self.origin_mm)):
            raise GeometryError(
                f"The first voxel lies at {self.origin_mm} mm",
                "Three finite numbers are needed",
                "Correct the header or choose another series",
            )
        deviation, tilt = _deviation_and_tilt(self.directions)
        if not deviation < 1e-3:
            raise GeometryError(
                f"The axes of the volume are not at right angles (deviation {deviation:.4f})",
                "An untilted series with orthogonal axes is needed",
                "Resample the series to a regular grid first",
            )
        if tilt > MAX_TILT_DEGREES:
            raise GeometryError(
                f"The slices are turned by {tilt:.1f} degrees against the patient's axes",
                f"At most {MAX_TILT_DEGREES:.0f} degrees can be shown as an axial series",
                "Choose the axial series or reformat it",
            )

    @classmethod
    def from_source(
        cls,
        array_shape: tuple[int, int, int],
        spacing_xyz_mm: Vector,
        origin_xyz_mm: Vector,
        direction_matrix: NDArray[np.float64],
        first_slice_number: int = 1,
    ) -> "VolumeGeometry":
        """Describe the canonical form of a source array as ITK delivers it.

        Parameters
        ----------
        array_shape
            Shape of the source array `[k, j, i]`.
        spacing_xyz_mm, origin_xyz_mm
            Spacing of the voxels along the source axes i, j, k, and the LPS position of the first one.
        direction_matrix
            (3, 3), columns are the LPS directions in which i, j, k grow.
        """
        matrix = np.asarray(direction_matrix, dtype=np.float64).reshape(3, 3)
        source_directions = [matrix[:, axis] for axis in (2, 1, 0)]  # of array axes k, j, i
        source_spacing = [spacing_xyz_mm[axis] for axis in (2, 1, 0)]
        wanted = np.asarray(CANONICAL_DIRECTIONS_LPS)
        agreement = wanted @ np.asarray(source_directions).T  # (canonical, source)
        axes = _assign_axes(agreement)
        flips = tuple(bool(agreement[i, axes[i]] < 0) for i in range(3))
        directions = [source_directions[axes[i]] * (-1 if flips[i] else 1) for i in range(3)]
        corner = np.asarray(origin_xyz_mm, dtype=np.float64)
        for i in range(3):
            if flips[i]:
                axis = axes[i]
                corner = corner + source_directions[axis] * source_spacing[axis] * (array_shape[axis] - 1)
        return cls(
            shape=_triple(array_shape[axis] for axis in axes),
            spacing_mm=_triple(float(source_spacing[axis]) for axis in axes),
            origin_mm=_triple(float(value) for value in corner),
            directions=_triple(_triple(float(value) for value in direction) for direction in directions),
            source_axes=_triple(axes),
            source_flips=_triple(flips),
            first_slice_number=first_slice_number,
        )

    def to_canonical(self, source: NDArray[Any]) -> NDArray[Any]:
        """Return a source array `[k, j, i]` as `[z, y, x]` (a view)."""
        array = source.transpose(self.source_axes)
        return array[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.source_flips)]

    def to_source(self, canonical: NDArray[Any]) -> NDArray[Any]:
        """Return a canonical array in the axis order of the source file (a view); inverse of `to_canonical`."""
        array = canonical[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.source_flips)]
        return array.transpose(tuple(int(axis) for axis in np.argsort(self.source_axes)))

    def source_shape(self) -> tuple[int, int, int]:
        """Return the shape of the source array `[k, j, i]`."""
        return _triple(self.shape[self.source_axes.index(axis)] for axis in range(3))

    def source_planes(self, slices: Sequence[int]) -> list[int]:
        """Return which planes k of the source array some slices are, both ascending, where k runs along z."""
        if not self.source_flips[0]:
            return list(slices)
        return [self.shape[0] - 1 - index for index in reversed(slices)]

    def index_to_mm(self, points_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map voxel-centre indices (..., 3) in (z, y, x) to LPS millimetres (..., 3) in (x, y, z)."""
        steps = np.asarray(self.directions) * np.asarray(self.spacing_mm)[:, None]
        points_mm: NDArray[np.float64] = np.asarray(points_zyx, dtype=np.float64) @ steps + np.asarray(self.origin_mm)
        return points_mm

    def mm_to_index(self, points_lps_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map LPS millimetres (..., 3) in (x, y, z) to voxel-centre indices (..., 3) in (z, y, x)."""
        offset = np.asarray(points_lps_mm, dtype=np.float64) - np.asarray(self.origin_mm)
        indices: NDArray[np.float64] = (offset @ np.asarray(self.directions).T) / np.asarray(self.spacing_mm)
        return indices

    def slice_number(self, slice_index: int) -> int:
        """Return the number the source gives to canonical slice `slice_index`."""
        return slice_index + self.first_slice_number

    def slice_index(self, slice_number: int) -> int:
        """Return the canonical index of the slice that the source calls `slice_number`."""
        return slice_number - self.first_slice_number

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; inverse of `from_dict`."""
        return {
            "shape": list(self.shape),
            "spacing_mm": list(self.spacing_mm),
            "origin_mm": list(self.origin_mm),
            "directions": [list(direction) for direction in self.directions],
            "source_axes": list(self.source_axes),
            "source_flips": list(self.source_flips),
            "first_slice_number": self.first_slice_number,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "VolumeGeometry":
        """Build a geometry from what `as_dict` returned."""
        return cls(
            shape=_triple(int(value) for value in values["shape"]),
            spacing_mm=_triple(float(value) for value in values["spacing_mm"]),
            origin_mm=_triple(float(value) for value in values["origin_mm"]),
            directions=_triple(_triple(float(value) for value in row) for row in values["directions"]),
            source_axes=_triple(int(value) for value in values["source_axes"]),
            source_flips=_triple(bool(value) for value in values["source_flips"]),
            first_slice_number=int(values["first_slice_number"]),
        )


@lru_cache(maxsize=1024)
def _deviation_and_tilt(directions: tuple[Vector, Vector, Vector]) -> tuple[float, float]:
    """Return how far axes are from right angles, and how many degrees they are turned against the patient's.

    Very many series have the same few axes.
    """
    axes = np.asarray(directions)
    deviation = np.abs(axes @ axes.T - np.eye(3)).max()
    agreement = np.diag(axes @ np.asarray(CANONICAL_DIRECTIONS_LPS).T)
    return float(deviation), float(np.degrees(np.arccos(np.clip(agreement.min(), -1, 1))))


def _assign_axes(agreement: NDArray[np.float64]) -> tuple[int, int, int]:
    """Give every canonical axis the source axis that runs most nearly along it, each used once."""
    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    return max(orders, key=lambda order: sum(abs(agreement[i, order[i]]) for i in range(3)))


def _triple(values: Any) -> tuple[Any, Any, Any]:
    first, second, third = values
    return first, second, third
