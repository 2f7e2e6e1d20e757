"""Turn what a file holds into int16 Hounsfield units, and say where that looks wrong."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import SeriesError
from lens_engine.geometry import VolumeGeometry

LOWEST_HU = -1024
"""Air; padding outside the field of view lies below it and is set to it."""
HIGHEST_HU = 32767
AIR_HU = -500
"""A CT of a patient has voxels below this: lung, bowel gas or the air around."""
WATER_HU = 0
"""A CT of a patient has voxels above this: all soft tissue."""


def canonical_hounsfield(
    planes: Iterable[NDArray[Any]], geometry: VolumeGeometry
) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    """Return values `[k, j, i]` of a file as canonical HU `[z, y, x]`, contiguous, with notes; see `to_hounsfield`.

    Parameters
    ----------
    planes
        The planes `[j, i]` in the order of k; an array of all of them, or an iterator that reads one after the other.
    geometry
        The geometry of the canonical volume.

    Raises
    ------
    SeriesError
        If no voxel is a number.
    """
    canonical = np.empty(geometry.shape, dtype=np.int16)
    notes = _convert(planes, geometry.to_source(canonical))
    return canonical, notes


def canonical_slices(planes: Iterable[NDArray[Any]], geometry: VolumeGeometry, count: int) -> NDArray[np.int16]:
    """Return `count` planes `[j, i]` of a file as canonical HU `[z, y, x]`: the values that the whole volume has there.

    Parameters
    ----------
    planes
        In the order of k.
    geometry
        The geometry of the whole canonical volume; its slices are planes of the file.
    """
    canonical = np.empty((count, *geometry.shape[1:]), dtype=np.int16)
    lowest = np.full(geometry.source_shape()[2], LOWEST_HU, dtype=np.int16)  # five times as fast as one number is
    for plane, target in zip(planes, geometry.to_source(canonical), strict=True):
        if plane.dtype == np.int16:
            np.maximum(plane, lowest, out=target)  # what `_fill` does, in one pass: nobody asks for notes
        else:
            _fill(plane[None], target[None])
    return canonical


def to_hounsfield(values: NDArray[Any]) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    """Return the rescaled values of a file as int16 HU of the same shape, with notes on whatever was changed or is odd.

    Values below -1024 (padding) and NaN become -1024, values above 32767 become 32767, fractions are rounded.
    """
    hounsfield = np.empty(values.shape, dtype=np.int16)
    return hounsfield, _convert(values, hounsfield)


def _convert(planes: Iterable[NDArray[Any]], hounsfield: NDArray[np.int16]) -> tuple[str, ...]:
    """Fill `hounsfield`, of the same shape, and say what was changed or is odd."""
    seen = _fill(planes, hounsfield)
    if seen.missing and seen.missing == hounsfield.size:
        raise SeriesError(
            "None of the voxels is a number", "A scan with values in HU is needed", "Convert it again from its source"
        )
    return tuple(_notes(seen))


class _Seen(NamedTuple):
    """The lowest and the highest value, and how many were no number, or padding."""

    lowest: float
    highest: float
    missing: int
    padding: int


def _fill(planes: Iterable[NDArray[Any]], hounsfield: NDArray[np.int16]) -> _Seen:
    """Fill `hounsfield`, of the same shape, slice by slice: a volume passes through the cache only once."""
    lowest, highest = np.inf, -np.inf
    missing = padding = 0
    for one_slice, target in zip(planes, hounsfield, strict=True):
        if one_slice.dtype.kind == "f":
            absent = ~np.isfinite(one_slice)
            missing += int(np.count_nonzero(absent))
            one_slice = np.rint(np.where(absent, LOWEST_HU, one_slice))
        low, high = float(one_slice.min()), float(one_slice.max())
        lowest, highest = min(lowest, low), max(highest, high)
        if low < LOWEST_HU:
            padding += int(np.count_nonzero(one_slice < LOWEST_HU))
        is_within = low >= LOWEST_HU and high <= HIGHEST_HU
        target[...] = one_slice if is_within else np.clip(one_slice, LOWEST_HU, HIGHEST_HU)
    return _Seen(lowest, highest, missing, padding)


def _notes(seen: _Seen) -> Iterator[str]:
    lowest, highest, missing, padding = seen
    if missing:
        yield f"{missing} voxels are not a number and were set to {LOWEST_HU} HU"
    if padding:
        yield f"{padding} voxels below {LOWEST_HU} HU (lowest {lowest:g}) are padding and were set to {LOWEST_HU} HU"
    if highest > HIGHEST_HU:
        yield f"Voxels up to {highest:g} HU were cut at {HIGHEST_HU} HU"
    if lowest > AIR_HU or highest < WATER_HU:
        yield (
            f"The values ({lowest:g} to {highest:g}) do not look like the HU of a patient,"
            f" who has air below {AIR_HU} and tissue above {WATER_HU}: check the rescale slope and intercept"
        )
