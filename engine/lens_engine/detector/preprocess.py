"""From a CT volume to what the network sees, the same code for training and inference (spec 2).

`prepare` decides the crop, the scale and the slice grid; a `PreparedVolume` then makes single slices, triplets and
nine-slice samples on demand, so that memory never grows with the number of slices. Network coordinates are pixel edges
of the scaled crop: box edge `x` of the series lies at `(x - left) * scale_x`.
"""

import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lens_engine.detector.input_config import InputConfig
from lens_engine.geometry import VolumeGeometry
from lens_engine.read_ahead import read_ahead
from lens_engine.volume import Volume

BODY_ABOVE_HU = -768
"""A voxel above this may belong to the body."""
OPENING_SIDE = 7
"""Structures narrower than this (pixels), such as the table, do not count as body."""
SIZE_DIVISOR = 16
"""Network inputs are padded to a multiple of this, the stride of the deepest map."""
SAMPLE_REACH = 4
"""Grid slices on either side of the central one in a nine-slice sample."""

READ_AHEAD = 8
"""Grid slices that are read before they are needed."""

_SAME_MM = 1e-4


@dataclass(frozen=True, slots=True)
class Crop:
    """In-plane crop in voxels of the series, half-open."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @classmethod
    def of(cls, voxels: NDArray[np.int16]) -> "Crop":
        """Return all of a slice of a volume."""
        return cls(0, 0, *voxels.shape[1:])

    def joined(self, other: "Crop") -> "Crop":
        """Return the smallest rectangle around both."""
        return Crop(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What training varies; the default is inference.

    Attributes
    ----------
    scale_factor
        Multiplies the in-plane scale, before the limit of the longer side.
    shift
        Voxels by which the top and the left edge of the crop move (spec 2, step 6).
    phase_mm
        The slice grid passes through this depth below the first slice; see `NetworkGrid.first_mm`.
    """

    scale_factor: float = 1.0
    shift: tuple[int, int] = (0, 0)
    phase_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class NetworkGrid:
    """Where the network's pixels and slices lie in a series.

    Attributes
    ----------
    geometry
        Of the series.
    crop
        Part of every slice that the network sees.
    scale
        Network pixels per voxel along (y, x).
    size
        Network pixels (height, width) that carry image.
    padded
        `size` rounded up to a multiple of `SIZE_DIVISOR`.
    first_mm
        Depth of grid slice 0 below the first slice of the series, in [0, spacing_mm).
    spacing_mm
        Distance of two grid slices.
    count
        Grid slices.
    """

    geometry: VolumeGeometry
    crop: Crop
    scale: tuple[float, float]
    size: tuple[int, int]
    padded: tuple[int, int]
    first_mm: float
    spacing_mm: float
    count: int

    def depth_mm(self, grid_index: float) -> float:
        """Return the depth of a grid slice below the first slice of the series."""
        return self.first_mm + grid_index * self.spacing_mm

    def nearest_grid_index(self, slice_index: float) -> int:
        """Return the grid slice nearest to a slice of the series."""
        steps = (slice_index * self.geometry.spacing_mm[0] - self.first_mm) / self.spacing_mm
        return min(max(math.floor(steps + 0.5), 0), self.count - 1)

    def to_network(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map boxes (n, 4) from voxel edges of the series to network pixels."""
        return (np.asarray(boxes, dtype=np.float64).reshape(-1, 4) - self._offset) * self._factor

    def to_series(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map boxes (n, 4) from network pixels to voxel edges of the series; inverse of `to_network`."""
        return np.asarray(boxes, dtype=np.float64).reshape(-1, 4) / self._factor + self._offset

    @property
    def _offset(self) -> NDArray[np.float64]:
        return np.array([self.crop.left, self.crop.top] * 2, dtype=np.float64)

    @property
    def _factor(self) -> NDArray[np.float64]:
        return np.array([self.scale[1], self.scale[0]] * 2, dtype=np.float64)


class SliceSource(NamedTuple):
    """What a series holds of one grid slice.

    Attributes
    ----------
    planes
        int16 HU (1 or 2, height, width) on the host, cropped: the slice there, or the two around it.
    share
        Of the second one, in [0, 1).
    """

    planes: Tensor
    share: float

    def pinned(self) -> "SliceSource":
        """Return the same in memory from which a GPU can fetch it while the host goes on."""
        return self._replace(planes=self.planes.pin_memory())


@dataclass(frozen=True)
class PreparedVolume:
    """A volume with everything that is needed to make network slices of it.

    Values are intensities in [0, 255] minus the mean of the configuration; padding is 0.
    """

    voxels: NDArray[np.int16]
    grid: NetworkGrid
    config: InputConfig
    _resampling_of: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False, compare=False)

    def network_slice(self, grid_index: int) -> NDArray[np.float32]:
        """Return grid slice `grid_index`, (height, width) as padded; beyond the ends the last slice repeats."""
        return self.compute(self.read(grid_index), torch.device("cpu")).numpy()

    def network_slices(self, device: torch.device) -> Generator[Tensor, None, None]:
        """Yield every grid slice as a tensor on a device, the next ones being read meanwhile; close it when done."""

        def read(index: int) -> SliceSource:
            return self.read(index).pinned() if device.type == "cuda" else self.read(index)

        sources = read_ahead(map(read, range(self.grid.count)), READ_AHEAD)
        with closing(sources):
            for source in sources:
                yield self.compute(source, device)

    def read(self, grid_index: int) -> SliceSource:
        """Return what the series holds of grid slice `grid_index`; beyond the ends that of the last slice."""
        index = min(max(grid_index, 0), self.grid.count - 1)
        steps = self.grid.depth_mm(index) / self.grid.geometry.spacing_mm[0]
        upper = min(math.floor(steps + 1e-6), len(self.voxels) - 1)
        share = max(steps - upper, 0.0)
        is_between = share > 1e-5 and upper + 1 < len(self.voxels)
        crop = self.grid.crop
        planes = self.voxels[upper : upper + 1 + is_between, crop.top : crop.bottom, crop.left : crop.right]
        return SliceSource(torch.from_numpy(np.ascontiguousarray(planes)), share if is_between else 0.0)

    def compute(self, source: SliceSource, device: torch.device) -> Tensor:
        """Return the grid slice of a source, float32 (height, width) as padded, on a device.

        In torch, not numpy: two thread pools (BLAS and OpenMP) would take the cores from each other.
        """
        rows, columns = self._resampling(device)
        # First moved, then widened: `to` with both would send twice as much.
        places = source.planes.to(device, non_blocking=True).to(torch.int32) + 32768
        planes = _intensity_tensor(self.config.intensity, device).index_select(0, places.view(-1)).view(places.shape)
        image = planes[0] if len(planes) == 1 else torch.lerp(planes[0], planes[1], source.share)
        height, width = self.grid.size
        padded = torch.zeros(self.grid.padded, device=device)
        padded[:height, :width] = rows @ image @ columns - self.config.mean
        return padded

    def sample(self, grid_index: int) -> NDArray[np.float32]:
        """Return the nine slices around `grid_index`, (9, height, width), head first (spec 2, step 9)."""
        indices = range(grid_index - SAMPLE_REACH, grid_index + SAMPLE_REACH + 1)
        slices: dict[int, NDArray[np.float32]] = {}
        for index in {min(max(index, 0), self.grid.count - 1) for index in indices}:
            slices[index] = self.network_slice(index)
        return np.stack([slices[min(max(index, 0), self.grid.count - 1)] for index in indices])

    def _resampling(self, device: torch.device) -> tuple[Tensor, Tensor]:
        if device not in self._resampling_of:
            height, width = self.grid.crop.size
            antialias = self.config.antialias
            rows = resampling_matrix(height, self.grid.size[0], self.grid.scale[0], antialias=antialias)
            columns = resampling_matrix(width, self.grid.size[1], self.grid.scale[1], antialias=antialias)
            transposed = np.ascontiguousarray(columns.T)
            self._resampling_of[device] = torch.from_numpy(rows).to(device), torch.from_numpy(transposed).to(device)
        return self._resampling_of[device]


def prepare(
    volume: Volume, config: InputConfig, augmentation: Augmentation | None = None, body: Crop | None = None
) -> PreparedVolume:
    """Place the network's pixels and slices in a volume.

    Parameters
    ----------
    augmentation
        Variation of one training sample; None is inference.
    body
        `body_rectangle` of the volume where it is already known (training draws many samples of one volume).
    """
    varied = augmentation or Augmentation()
    rectangle = body_rectangle(volume.voxels) if body is None else body
    grid = make_grid(volume.geometry, rectangle, config, varied)
    return PreparedVolume(volume.voxels, grid, config)


def make_grid(geometry: VolumeGeometry, body: Crop, config: InputConfig, augmentation: Augmentation) -> NetworkGrid:
    """Place the network's pixels and slices in a series whose body lies in `body` (spec 2, steps 3 to 6)."""
    crop = Crop(
        min(max(body.top + augmentation.shift[0], 0), body.bottom - 1),
        min(max(body.left + augmentation.shift[1], 0), body.right - 1),
        body.bottom,
        body.right,
    )
    height, width = crop.size
    scale_y, scale_x = (augmentation.scale_factor * spacing / config.pixel_mm for spacing in geometry.spacing_mm[1:])
    reduction = min(1.0, config.max_side / max(height * scale_y, width * scale_x))
    scale_y, scale_x = scale_y * reduction, scale_x * reduction
    size = max(math.floor(height * scale_y + 0.5), 1), max(math.floor(width * scale_x + 0.5), 1)
    length_mm = (geometry.shape[0] - 1) * geometry.spacing_mm[0]
    first_mm = augmentation.phase_mm % config.grid_mm
    if config.grid_mm - first_mm < _SAME_MM:
        first_mm = 0.0
    if first_mm > length_mm + _SAME_MM:  # a volume thinner than one grid step still has one grid slice
        first_mm = length_mm
    return NetworkGrid(
        geometry=geometry,
        crop=crop,
        scale=(scale_y, scale_x),
        size=size,
        padded=(_round_up(size[0]), _round_up(size[1])),
        first_mm=first_mm,
        spacing_mm=config.grid_mm,
        count=math.floor((length_mm - first_mm + _SAME_MM) / config.grid_mm) + 1,
    )


def body_rectangle(voxels: NDArray[np.int16]) -> Crop:
    """Return the union of the tight rectangles around the body on every slice; the whole slice where there is none."""
    return find_body(voxels) or Crop.of(voxels)


def find_body(voxels: NDArray[np.int16]) -> Crop | None:
    """Return the union of the tight rectangles around the body on every slice, if there is one on any.

    The body of a slice is what is above `BODY_ABOVE_HU` after opening with a square of `OPENING_SIDE` (spec 2, step 4).
    """
    found: Crop | None = None
    for image in voxels:
        rectangle = _opened_rectangle(image > BODY_ABOVE_HU)
        if rectangle is not None:
            found = rectangle if found is None else found.joined(rectangle)
    return found


def resampling_matrix(source: int, target: int, scale: float, *, antialias: bool) -> NDArray[np.float32]:
    """Return the (target, source) weights of linear interpolation between pixel centres.

    Target pixel i has its centre at `(i + 0.5) / scale` in source edges. With `antialias` and a scale below 1 the
    triangle is widened to the size of a target pixel. Beyond the ends the last source pixel repeats.
    """
    reach = max(1.0, 1.0 / scale) if antialias else 1.0
    centres = (np.arange(target) + 0.5) / scale - 0.5
    centres = np.clip(centres, 0, source - 1)
    distance = np.abs(centres[:, None] - np.arange(source)[None, :]) / reach
    weights = np.maximum(1 - distance, 0)
    normalised: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised


@lru_cache(maxsize=8)
def _intensity_tensor(points: tuple[tuple[float, float], ...], device: torch.device) -> Tensor:
    """Return the intensity of every int16 value, from -32768."""
    hu, value = np.asarray(points).T
    table = np.interp(np.arange(-32768, 32768), hu, value).astype(np.float32)
    return torch.from_numpy(table).to(device)


def _opened_rectangle(mask: NDArray[np.bool_]) -> Crop | None:
    """Return the rectangle around the opened mask: around all full squares of `OPENING_SIDE` inside it."""
    if min(mask.shape) < OPENING_SIDE:
        return None
    mask = _full_runs(_full_runs(mask).T).T
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return Crop(int(rows[0]), int(columns[0]), int(rows[-1]) + OPENING_SIDE, int(columns[-1]) + OPENING_SIDE)


def _full_runs(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark where a run of `OPENING_SIDE` true values along axis 0 starts."""
    for step in (1, 2, OPENING_SIDE - 4):  # runs of 2, then of 4, then of 7
        mask = mask[:-step] & mask[step:]
    return mask


def _round_up(length: int) -> int:
    return -(-length // SIZE_DIVISOR) * SIZE_DIVISOR
