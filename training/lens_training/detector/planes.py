"""The slices of a case from which samples are made, kept in memory where there is room.

What is kept are voxels, where the body lies. Every sample is resampled from them in one go by
`lens_engine.detector.preprocess`, the same code as at inference: an image that was resampled twice is smoother than any
that inference sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lens_engine.detector.input_config import InputConfig
from lens_engine.detector.preprocess import Crop, NetworkGrid, PreparedVolume, body_rectangle
from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume
from lens_training.datasets.case import Case
from lens_training.recipes.recipe import MOST_SHIFT_VOXELS


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """The slices of one series, at least where its body lies.

    Attributes
    ----------
    geometry
        Where the voxels of the whole series lie.
    body
        `body_rectangle` of the series.
    voxels
        int16 HU (slices, h, w).
    corner
        Row and column of the series at which `voxels` begin.
    """

    geometry: VolumeGeometry
    body: Crop
    voxels: NDArray[np.int16]
    corner: tuple[int, int] = (0, 0)

    def image(self, grid: NetworkGrid, grid_index: int, config: InputConfig) -> torch.Tensor:
        """Return the nine slices around a grid slice, float32 (9, h, w) without padding, on the pixels of a grid."""
        return PreparedVolume(self.voxels, grid, config, self.corner).image(grid_index)


def planes_of(volume: Volume, body: Crop | None = None) -> Planes:
    """Return the slices of a volume, all of them as they are.

    Parameters
    ----------
    body
        `body_rectangle` of the volume where it is known.
    """
    return Planes(volume.geometry, body_rectangle(volume.voxels) if body is None else body, volume.voxels)


def cropped_planes(planes: Planes) -> Planes:
    """Return the same slices without what no sample shows: the body and the voxels to which its crop may move."""
    body = planes.body
    top, left = max(body.top - MOST_SHIFT_VOXELS, 0), max(body.left - MOST_SHIFT_VOXELS, 0)
    voxels = np.ascontiguousarray(planes.voxels[:, top : body.bottom, left : body.right])
    return Planes(planes.geometry, body, voxels, (top, left))


class PlaneCache:
    """The planes of cases, kept within a limit of memory.

    Samples are drawn at random, so that no case is more likely to be needed again than another one: those that come
    first are kept, and what then finds no room is loaded for each sample.

    Parameters
    ----------
    limit_bytes
        How much memory all kept voxels may take together.
    """

    def __init__(self, cases: Sequence[Case], limit_bytes: int) -> None:
        self._cases = cases
        self._free_bytes = limit_bytes
        self._kept: dict[int, Planes] = {}
        self._bodies: dict[int, Crop] = {}

    def has_room_for(self, number: int) -> bool:
        """Whether the case would be kept, or is."""
        return number in self._kept or _most_bytes(self._cases[number].geometry) <= self._free_bytes

    def planes(self, number: int) -> Planes:
        """Return the planes of the case of that number, loading it if need be."""
        if number in self._kept:
            return self._kept[number]
        planes = planes_of(self._cases[number].load(), self._bodies.get(number))
        if not self.has_room_for(number):
            self._bodies[number] = planes.body
            return planes
        self._kept[number] = cropped_planes(planes)
        self._free_bytes -= self._kept[number].voxels.nbytes
        return self._kept[number]


def _most_bytes(geometry: VolumeGeometry) -> int:
    """Return what the planes of a series need at most: where the body fills every slice."""
    count, height, width = geometry.shape
    return count * height * width * np.dtype(np.int16).itemsize
