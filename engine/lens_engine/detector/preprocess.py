"""From a CT volume to what the network sees, the same code for training and inference (algorithms 2).

`prepare` decides the crop, the scale and the slice grid; a `PreparedVolume` then makes single slices and nine-slice
samples on demand, so that memory never grows with the number of slices. Each is resampled once, from the voxels: what
training varies only moves the pixels and slices of the grid. Network coordinates are pixel edges of the scaled crop:
box edge `x` of the series lies at `(x - left) * scale_x`, less the pixels that a window leaves out.
"""

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lens_engine.detector.input_config import CropScope, InputConfig
from lens_engine.detector.resampling import Taps, linear_taps, resample
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
        Voxels by which the top and the left edge of the crop move (algorithms 2, step 6).
    phase_mm
        The slice grid passes through this depth below the first slice; see `NetworkGrid.first_mm`.
    longest_side
        Network pixels to which a larger slice is scaled down; None is the limit of inference.
    """

    scale_factor: float = 1.0
    shift: tuple[int, int] = (0, 0)
    phase_mm: float = 0.0
    longest_side: int | None = None


@dataclass(frozen=True, slots=True)
class NetworkGrid:
    """Where the network's pixels and slices lie in a series.

    Attributes
    ----------
    geometry
        Where the voxels of the series lie.
    crop
        Part of every slice that the network sees.
    scale
        Network pixels per voxel along (y, x).
    size
        Network pixels (height, width) that carry image.
    first_mm
        Depth of grid slice 0 below the first slice of the series, in [0, spacing_mm).
    spacing_mm
        Distance of two grid slices.
    count
        Grid slices.
    first_pixel
        Row and column of the scaled crop where the image begins; other than (0, 0) in a window only.
    """

    geometry: VolumeGeometry
    crop: Crop
    scale: tuple[float, float]
    size: tuple[int, int]
    first_mm: float
    spacing_mm: float
    count: int
    first_pixel: tuple[int, int] = (0, 0)

    @property
    def padded(self) -> tuple[int, int]:
        """`size` rounded up to a multiple of `SIZE_DIVISOR`."""
        return _round_up(self.size[0]), _round_up(self.size[1])

    def window(self, top: int, left: int, height: int, width: int) -> "NetworkGrid":
        """Return the same pixels and slices, but only those of a window; what reaches beyond the image is cut off."""
        rows, columns = (
            range(max(start, 0), min(start + length, whole))
            for start, length, whole in zip((top, left), (height, width), self.size, strict=True)
        )
        first_row, first_column = self.first_pixel
        return replace(
            self, size=(len(rows), len(columns)), first_pixel=(first_row + rows.start, first_column + columns.start)
        )

    def depth_mm(self, grid_index: float) -> float:
        """Return the depth of a grid slice below the first slice of the series."""
        return self.first_mm + grid_index * self.spacing_mm

    def nearest_grid_index(self, slice_index: float) -> int:
        """Return the grid slice nearest to a slice of the series."""
        steps = (slice_index * self.geometry.spacing_mm[0] - self.first_mm) / self.spacing_mm
        return min(max(math.floor(steps + 0.5), 0), self.count - 1)

    def neighbours(self, grid_index: int) -> tuple[int, int, float]:
        """Return the slices of the series between which a grid slice lies, and the share of the second one.

        Where it meets a slice, both are that one. Beyond the ends the last grid slice repeats.
        """
        last = self.geometry.shape[0] - 1
        steps = self.depth_mm(min(max(grid_index, 0), self.count - 1)) / self.geometry.spacing_mm[0]
        upper = min(math.floor(steps + 1e-6), last)
        share = max(steps - upper, 0.0)
        return (upper, upper + 1, share) if share > 1e-5 and upper < last else (upper, upper, 0.0)

    def sample_slices(self, grid_index: int) -> tuple[int, ...]:
        """Return the slices of the series of which the nine grid slices around `grid_index` are made, ascending."""
        neighbours = (self.neighbours(index) for index in _sample_indices(grid_index))
        return tuple(sorted({place for upper, lower, _ in neighbours for place in (upper, lower)}))

    def to_network(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map boxes (n, 4) from voxel edges of the series to network pixels."""
        return (np.asarray(boxes, dtype=np.float64).reshape(-1, 4) - self._offset) * self._factor - self._first

    def to_series(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map boxes (n, 4) from network pixels to voxel edges of the series; inverse of `to_network`."""
        return (np.asarray(boxes, dtype=np.float64).reshape(-1, 4) + self._first) / self._factor + self._offset

    @property
    def _offset(self) -> NDArray[np.float64]:
        return np.array([self.crop.left, self.crop.top] * 2, dtype=np.float64)

    @property
    def _first(self) -> NDArray[np.float64]:
        return np.array(self.first_pixel[::-1] * 2, dtype=np.float64)

    @property
    def _factor(self) -> NDArray[np.float64]:
        return np.array([self.scale[1], self.scale[0]] * 2, dtype=np.float64)


class SliceSource(NamedTuple):
    """What a series holds of some grid slices.

    Attributes
    ----------
    planes
        int16 HU (k, height, width) on the host, where the grid's pixels read them.
    depth
        What each grid slice reads of the planes.
    """

    planes: Tensor
    depth: Taps

    def pinned(self) -> "SliceSource":
        """Return the same in memory from which a GPU can fetch it while the host goes on."""
        return self._replace(planes=self.planes.pin_memory())


@dataclass(frozen=True)
class PreparedVolume:
    """A volume with everything that is needed to make network slices of it.

    Values are intensities in [0, 255] minus the mean of the configuration; padding is 0.

    Attributes
    ----------
    voxels
        int16 HU of all slices, at least where the grid's crop lies.
    corner
        Row and column of the series at which `voxels` begin: a cache keeps no more than the body.
    slices
        The slices of the series that `voxels` holds, ascending; None for all of them.
    """

    voxels: NDArray[np.int16]
    grid: NetworkGrid
    config: InputConfig
    corner: tuple[int, int] = (0, 0)
    slices: tuple[int, ...] | None = None
    _taps_of: dict[torch.device, tuple[Taps, Taps]] = field(default_factory=dict, repr=False, compare=False)

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
        return self._read([grid_index])

    def compute(self, source: SliceSource, device: torch.device) -> Tensor:
        """Return the grid slice of a source, float32 (height, width) as padded, on a device.

        In torch, not numpy: two thread pools (BLAS and OpenMP) would take the cores from each other.
        """
        return self._padded(self._computed(source, device))[0]

    def sample(self, grid_index: int) -> NDArray[np.float32]:
        """Return the nine slices around `grid_index`, (9, height, width) as padded, head first.

        See algorithms 2, step 9.
        """
        return self._padded(self.image(grid_index)).numpy()

    def image(self, grid_index: int) -> Tensor:
        """Return the nine slices around `grid_index` without padding, float32 (9, height, width), on the CPU."""
        return self._computed(self._read(_sample_indices(grid_index)), torch.device("cpu"))

    def _read(self, grid_indices: Sequence[int]) -> SliceSource:
        depth = self._depth_taps(grid_indices)
        rows, columns = self._in_plane_taps(torch.device("cpu"))
        top = self.grid.crop.top - self.corner[0] + rows.part[0]
        left = self.grid.crop.left - self.corner[1] + columns.part[0]
        planes = self.voxels[:, top : top + len(rows.part), left : left + len(columns.part)]
        if self.slices != depth.part:
            held = range(len(self.voxels)) if self.slices is None else self.slices
            planes = planes[[held.index(index) for index in depth.part]]
        return SliceSource(torch.from_numpy(planes), depth)

    def _computed(self, source: SliceSource, device: torch.device) -> Tensor:
        """Return the grid slices of a source, float32 (n, height, width) without padding."""
        # First moved, then widened to intensities: the other way round would send twice as much.
        places = source.planes.to(device, non_blocking=True).view(torch.uint16).to(torch.int32)
        table = _intensity_tensor(self.config.intensity, self.config.mean, device)
        planes = table.index_select(0, places.view(-1)).view(places.shape)
        return resample(planes, source.depth.to(device), *self._in_plane_taps(device))

    def _padded(self, images: Tensor) -> Tensor:
        height, width = self.grid.size
        padded = images.new_zeros(len(images), *self.grid.padded)
        padded[:, :height, :width] = images
        return padded

    def _depth_taps(self, grid_indices: Sequence[int]) -> Taps:
        """Return which slices of the series make which grid slices; beyond the ends the last grid slice repeats."""
        neighbours = [self.grid.neighbours(grid_index) for grid_index in grid_indices]
        read = [(upper, lower) for upper, lower, _ in neighbours]
        weights = [(1 - share, share) for _, _, share in neighbours]
        taps = 1 if all(upper == lower for upper, lower in read) else 2
        part = tuple(sorted({index for places in read for index in places}))
        indices = torch.tensor([[part.index(index) for index in places[:taps]] for places in read])
        return Taps(part, indices, torch.tensor([own[:taps] for own in weights]))

    def _in_plane_taps(self, device: torch.device) -> tuple[Taps, Taps]:
        """Return what the grid's rows and columns read of the crop."""
        if device not in self._taps_of:
            grid, antialias = self.grid, self.config.antialias
            rows, columns = (
                linear_taps(source, range(first, first + size), scale, antialias=antialias).to(device)
                for source, first, size, scale in zip(
                    grid.crop.size, grid.first_pixel, grid.size, grid.scale, strict=True
                )
            )
            self._taps_of[device] = rows, columns
        return self._taps_of[device]


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


def prepare_samples(
    volume: Volume, config: InputConfig, augmentation: Augmentation | None = None, body: Crop | None = None
) -> Iterator[PreparedVolume]:
    """Yield for every grid slice, in order, the volume as the sample around that slice shows it; see `prepare`."""
    rectangle = body_rectangle(volume.voxels) if body is None else body
    whole = prepare(volume, config, augmentation, rectangle)
    for grid_index in range(whole.grid.count):
        if config.crop is CropScope.VOLUME:
            yield whole
        else:
            steps = whole.grid.depth_mm(grid_index) / volume.geometry.spacing_mm[0]
            nearest = min(math.floor(steps + 0.5), len(volume.voxels) - 1)
            yield prepare(volume, config, augmentation, body_on_slice(volume.voxels[nearest], rectangle))


def make_grid(geometry: VolumeGeometry, body: Crop, config: InputConfig, augmentation: Augmentation) -> NetworkGrid:
    """Place the network's pixels and slices in a series whose body lies in `body` (algorithms 2, steps 3 to 6)."""
    crop = Crop(
        min(max(body.top + augmentation.shift[0], 0), body.bottom - 1),
        min(max(body.left + augmentation.shift[1], 0), body.right - 1),
        body.bottom,
        body.right,
    )
    height, width = crop.size
    scale_y, scale_x = (augmentation.scale_factor * spacing / config.pixel_mm for spacing in geometry.spacing_mm[1:])
    longest_side = config.longest_side if augmentation.longest_side is None else augmentation.longest_side
    reduction = min(1.0, longest_side / max(height * scale_y, width * scale_x))
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
        first_mm=first_mm,
        spacing_mm=config.grid_mm,
        count=math.floor((length_mm - first_mm + _SAME_MM) / config.grid_mm) + 1,
    )


def body_rectangle(voxels: NDArray[np.int16]) -> Crop:
    """Return the union of the tight rectangles around the body on every slice; the whole slice where there is none."""
    return find_body(voxels) or Crop.of(voxels)


def body_on_slice(voxels: NDArray[np.int16], body: Crop, corner: tuple[int, int] = (0, 0)) -> Crop:
    """Return the rectangle around the body on one slice (height, width), `body` where there is none on it.

    Parameters
    ----------
    body
        `body_rectangle` of the whole series.
    corner
        Row and column of the series at which the voxels begin; they hold `body`.
    """
    found = find_body(voxels[None])
    if found is None:
        return body
    top, left = corner
    return Crop(found.top + top, found.left + left, found.bottom + top, found.right + left)


def find_body(voxels: NDArray[np.int16]) -> Crop | None:
    """Return the union of the tight rectangles around the body on every slice, if there is one on any.

    The body of a slice is what is above `BODY_ABOVE_HU` after opening with a square of `OPENING_SIDE` (algorithms 2,
    step 4).
    """
    found: Crop | None = None
    for image in voxels:
        rectangle = _opened_rectangle(image > BODY_ABOVE_HU)
        if rectangle is not None:
            found = rectangle if found is None else found.joined(rectangle)
    return found


@lru_cache(maxsize=8)
def _intensity_tensor(points: tuple[tuple[float, float], ...], mean: float, device: torch.device) -> Tensor:
    """Return the intensity of every int16 value, in the order of their bits as uint16, less the mean."""
    hu, value = np.asarray(points).T
    table = np.interp(np.arange(65536, dtype=np.uint16).view(np.int16), hu, value) - mean
    return torch.from_numpy(table.astype(np.float32)).to(device)


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


def _sample_indices(grid_index: int) -> range:
    return range(grid_index - SAMPLE_REACH, grid_index + SAMPLE_REACH + 1)


def _round_up(length: int) -> int:
    return -(-length // SIZE_DIVISOR) * SIZE_DIVISOR
