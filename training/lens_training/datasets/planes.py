"""The slices of a case as the network sees them in plane, kept in memory where there is room.

The network's pixels come from `lens_engine.detector.preprocess`, the same code as at inference. What is kept are the
slices of the series themselves; a sample interpolates them along z, so that its grid passes exactly through the slice
that was chosen (spec 2, step 3).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.detector.input_config import InputConfig
from lens_engine.detector.preprocess import SAMPLE_REACH, Crop, NetworkGrid, prepare
from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume
from lens_training.datasets.case import Case

Image = NDArray[np.float16]
"""(h, w) pixels of the network, mean subtracted, without padding."""


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """The slices of one series on the network's pixels.

    Attributes
    ----------
    grid
        Maps boxes of the series to these pixels; its slices are those of the series.
    image
        Returns a slice of the series, kept or made at that moment.
    """

    grid: NetworkGrid
    image: Callable[[int], Image]

    def nine_slices(self, depth_mm: float, grid_mm: float, window: tuple[slice, slice]) -> NDArray[np.float32]:
        """Return the nine grid slices around a depth, (9, h, w), cut to a window of rows and columns.

        Grid slices lie `grid_mm` apart and pass through `depth_mm`; beyond the first and the last one that lies in the
        volume, that one repeats.
        """
        last, spacing_mm = self.grid.count - 1, self.grid.geometry.spacing_mm[0]
        above, below = (
            math.floor(length_mm / grid_mm + 1e-6) for length_mm in (depth_mm, last * spacing_mm - depth_mm)
        )
        steps = np.clip(np.arange(-SAMPLE_REACH, SAMPLE_REACH + 1), -above, below)
        positions = np.clip((depth_mm + steps * grid_mm) / spacing_mm, 0, last)
        upper = np.minimum(np.floor(positions + 1e-6).astype(np.intp), last)
        share = np.maximum(positions - upper, 0).astype(np.float32)
        lower = np.minimum(upper + (share > 0), last)
        needed, places = np.unique(np.stack([upper, lower]), return_inverse=True)
        images = np.stack([self.image(int(index))[window] for index in needed]).astype(np.float32)
        first, second = images[places.reshape(2, -1)]
        blended: NDArray[np.float32] = first + (second - first) * share[:, None, None]
        return blended


def placed_planes(volume: Volume, config: InputConfig, body: Crop | None = None) -> Planes:
    """Return the slices of a volume, each made when it is asked for.

    Parameters
    ----------
    body
        `body_rectangle` of the volume where it is known.
    """
    every_slice = config.model_copy(update={"grid_mm": volume.geometry.spacing_mm[0]})
    prepared = prepare(volume, every_slice, body=body)
    height, width = prepared.grid.size

    def image(index: int) -> Image:
        return prepared.network_slice(index)[:height, :width].astype(np.float16)

    return Planes(prepared.grid, image)


def kept_planes(planes: Planes) -> Planes:
    """Return the same slices, all of them made now and kept."""
    pixels = np.stack([planes.image(index) for index in range(planes.grid.count)])
    return Planes(planes.grid, pixels.__getitem__)


class PlaneCache:
    """The planes of cases, kept within a limit of memory.

    Samples are drawn at random, so that no case is more likely to be needed again than another one: those that come
    first are kept, and what then finds no room is loaded for each sample and makes the few slices that it needs.

    Parameters
    ----------
    limit_bytes
        For the kept pixels together.
    """

    def __init__(self, cases: Sequence[Case], config: InputConfig, limit_bytes: int) -> None:
        self._cases = cases
        self._config = config
        self._free_bytes = limit_bytes
        self._kept: dict[int, Planes] = {}
        self._bodies: dict[int, Crop] = {}

    def has_room_for(self, number: int) -> bool:
        """Whether the case would be kept, or is."""
        return number in self._kept or _most_bytes(self._cases[number].geometry, self._config) <= self._free_bytes

    def planes(self, number: int) -> Planes:
        """Return the planes of the case of that number, loading it if need be."""
        if number in self._kept:
            return self._kept[number]
        placed = placed_planes(self._cases[number].load(), self._config, self._bodies.get(number))
        if not self.has_room_for(number):
            self._bodies[number] = placed.grid.crop
            return placed
        self._kept[number] = kept_planes(placed)
        self._free_bytes -= _bytes(placed.grid)
        return self._kept[number]


def _most_bytes(geometry: VolumeGeometry, config: InputConfig) -> int:
    """Return what the planes of a series need at most: where the body fills every slice."""
    count, *sides = geometry.shape
    lengths_mm = (side * spacing_mm for side, spacing_mm in zip(sides, geometry.spacing_mm[1:], strict=True))
    height, width = (min(math.ceil(length_mm / config.pixel_mm), config.max_side) for length_mm in lengths_mm)
    return count * height * width * np.dtype(np.float16).itemsize


def _bytes(grid: NetworkGrid) -> int:
    return grid.count * grid.size[0] * grid.size[1] * np.dtype(np.float16).itemsize
