"""The slices of a case from which samples are made, in memory where there is room, else read for each sample.

What is kept are voxels, where the body lies. Every sample is resampled from them in one go by
`lens_engine.detector.preprocess`, the same code as at inference: an image that was resampled twice is smoother than any
that inference sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lens_engine.detector.input_config import InputConfig
from lens_engine.detector.preprocess import Crop, NetworkGrid, PreparedVolume, body_on_slice, body_rectangle
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.hounsfield import LOWEST_HU
from lens_engine.volume import Volume
from lens_training.datasets.case import Case
from lens_training.detector.slice_cache import OpenScan, SliceCache, shown_part


class Planes(Protocol):
    """The slices of one series, at least where its body lies."""

    @property
    def geometry(self) -> VolumeGeometry:
        """Where the voxels of the whole series lie."""

    @property
    def body(self) -> Crop:
        """`body_rectangle` of the series."""

    def body_on(self, slice_index: int) -> Crop:
        """Return the rectangle around the body on one slice, that of the series where there is none on it."""

    def image(self, grid: NetworkGrid, grid_index: int, config: InputConfig) -> torch.Tensor:
        """Return the nine slices around a grid slice, float32 (9, h, w) without padding, on the pixels of a grid."""

    def hounsfield(self, slice_index: int) -> NDArray[np.int16]:
        """Return the HU of a slice in its full size, air where nothing is shown."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldPlanes:
    """`Planes` in memory.

    Attributes
    ----------
    geometry, body
        As of `Planes`.
    voxels
        int16 HU (slices, h, w).
    corner
        Row and column of the series at which `voxels` begin.
    """

    geometry: VolumeGeometry
    body: Crop
    voxels: NDArray[np.int16]
    corner: tuple[int, int] = (0, 0)

    def body_on(self, slice_index: int) -> Crop:
        """Return the rectangle around the body on one slice, as `Planes.body_on` says."""
        return body_on_slice(self.voxels[slice_index], self.body, self.corner)

    def image(self, grid: NetworkGrid, grid_index: int, config: InputConfig) -> torch.Tensor:
        """Return a sample, as `Planes.image` says."""
        return PreparedVolume(self.voxels, grid, config, self.corner).image(grid_index)

    def hounsfield(self, slice_index: int) -> NDArray[np.int16]:
        """Return a slice, as `Planes.hounsfield` says."""
        return _in_full_size(self.voxels[slice_index], self.corner, self.geometry)


@dataclass(frozen=True, slots=True, eq=False)
class ReadPlanes:
    """`Planes` of which each sample reads the slices that it needs."""

    geometry: VolumeGeometry
    scan: OpenScan

    @property
    def body(self) -> Crop:
        """`body_rectangle` of the series."""
        return self.scan.body

    def body_on(self, slice_index: int) -> Crop:
        """Return the rectangle around the body on one slice, as `Planes.body_on` says."""
        voxels = self.scan.read(range(slice_index, slice_index + 1))
        return body_on_slice(voxels[0], self.body, self.scan.corner)

    def image(self, grid: NetworkGrid, grid_index: int, config: InputConfig) -> torch.Tensor:
        """Return a sample, as `Planes.image` says."""
        slices = grid.sample_slices(grid_index)
        return PreparedVolume(self.scan.read(slices), grid, config, self.scan.corner, slices).image(grid_index)

    def hounsfield(self, slice_index: int) -> NDArray[np.int16]:
        """Return a slice, as `Planes.hounsfield` says."""
        return _in_full_size(self.scan.read((slice_index,))[0], self.scan.corner, self.geometry)


def _in_full_size(shown: NDArray[np.int16], corner: tuple[int, int], geometry: VolumeGeometry) -> NDArray[np.int16]:
    top, left = corner
    plane = np.full(geometry.shape[1:], LOWEST_HU, dtype=np.int16)
    plane[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return plane


def planes_of(volume: Volume, body: Crop | None = None) -> HeldPlanes:
    """Return the slices of a volume, all of them as they are.

    Parameters
    ----------
    body
        `body_rectangle` of the volume where it is known.
    """
    return HeldPlanes(volume.geometry, body_rectangle(volume.voxels) if body is None else body, volume.voxels)


def cropped_planes(planes: HeldPlanes) -> HeldPlanes:
    """Return the same slices without what no sample shows."""
    part = shown_part(planes.body)
    voxels = np.ascontiguousarray(planes.voxels[:, part.top : part.bottom, part.left : part.right])
    return HeldPlanes(planes.geometry, planes.body, voxels, (part.top, part.left))


class PlaneCache:
    """The planes of cases, kept within a limit of memory.

    Samples are drawn at random, so that no case is more likely to be needed again than another one: those that come
    first are kept, and of what then finds no room the slices are read that a sample needs.

    Parameters
    ----------
    limit_bytes
        How much memory all kept voxels may take together.
    slices
        Opens what finds no room in memory.
    """

    def __init__(self, cases: Sequence[Case], limit_bytes: int, slices: SliceCache | None = None) -> None:
        self._cases = cases
        self._free_bytes = limit_bytes
        self._slices = slices or SliceCache()
        self._kept: dict[int, HeldPlanes] = {}
        self._bodies: dict[int, Crop] = {}

    def has_room_for(self, number: int) -> bool:
        """Whether the case would be kept, or is."""
        return number in self._kept or _most_bytes(self._cases[number].geometry) <= self._free_bytes

    def planes(self, number: int) -> Planes:
        """Return the planes of the case of that number; it is loaded if need be.

        Raises
        ------
        LensError
            If it cannot be read.
        """
        if number in self._kept:
            return self._kept[number]
        case = self._cases[number]
        if self.has_room_for(number):
            self._kept[number] = cropped_planes(planes_of(case.load()))
            self._free_bytes -= self._kept[number].voxels.nbytes
            return self._kept[number]
        if case.files is not None:
            return ReadPlanes(case.geometry, self._slices.open(case, case.files))
        planes = planes_of(case.load(), self._bodies.get(number))
        self._bodies[number] = planes.body
        return planes


def _most_bytes(geometry: VolumeGeometry) -> int:
    """Return what the planes of a series need at most: where the body fills every slice."""
    count, height, width = geometry.shape
    return count * height * width * np.dtype(np.int16).itemsize
