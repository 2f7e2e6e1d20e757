"""Lesions that are known by centre and diameter: the cube around the sphere and its square on each slice.

See algorithms 1.6.
"""

import math

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import clip
from lens_engine.geometry import VolumeGeometry
from lens_engine.snapshot import Lesion, LesionOrigin, LesionRole, SnapshotSlice

POLE_SHARE = 0.75
"""Slices farther from the centre than this share of the radius show a sliver only and have no box."""


def sphere_lesion(
    series: str, centre_mm: NDArray[np.float64], diameter_mm: float, geometry: VolumeGeometry
) -> Lesion | None:
    """Return the label of a sphere, cut at the borders of the scan; None if its centre lies outside.

    A sphere between two thick slices gets a square on the nearest one, of the size it has at `POLE_SHARE`.

    Parameters
    ----------
    centre_mm
        LPS (x, y, z).
    """
    z, y, x = (float(value) for value in geometry.mm_to_index(centre_mm) + 0.5)  # voxel edges
    if not all(0 < value < count for value, count in zip((z, y, x), geometry.shape, strict=True)):
        return None
    radius_mm = diameter_mm / 2
    z_mm, y_mm, x_mm = geometry.spacing_mm
    slices = []
    for index in _slices(z, radius_mm / z_mm, geometry.shape[0]):
        half_mm = half_side_mm(radius_mm, abs(index + 0.5 - z) * z_mm)
        square = np.asarray([[x - half_mm / x_mm, y - half_mm / y_mm, x + half_mm / x_mm, y + half_mm / y_mm]])
        slices.append(_slice(index, clip(square, geometry.shape[1:])))
    half = np.asarray([radius_mm / x_mm, radius_mm / y_mm, radius_mm / z_mm])
    centre = np.asarray([x, y, z])
    cube = clip(np.concatenate([centre - half, centre + half])[None], geometry.shape)[0].tolist()
    return Lesion(
        series=series,
        box=(cube[0], cube[1], cube[2], cube[3], cube[4], cube[5]),
        slices=tuple(slices),
        role=LesionRole.POSITIVE,
        origin=LesionOrigin.ANNOTATION,
        is_tight=True,
    )


def half_side_mm(radius_mm: float, distance_mm: float) -> float:
    """Return half the side of the square around a sphere's section at a distance from its centre."""
    distance_mm = min(distance_mm, POLE_SHARE * radius_mm)
    return math.sqrt(radius_mm**2 - distance_mm**2)


def _slices(centre: float, radius: float, count: int) -> list[int]:
    """Return the slices whose middle lies within `POLE_SHARE` of the radius, or the nearest one; units are slices."""
    near = [
        index
        for index in range(max(0, math.floor(centre - radius)), min(count, math.ceil(centre + radius) + 1))
        if abs(index + 0.5 - centre) <= POLE_SHARE * radius
    ]
    return near or [min(max(math.floor(centre), 0), count - 1)]


def _slice(index: int, square: NDArray[np.float64]) -> SnapshotSlice:
    x1, y1, x2, y2 = square[0].tolist()
    return index, x1, y1, x2, y2
