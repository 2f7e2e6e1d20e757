"""The slices of a case as the network sees them in plane, kept in memory.

The network's pixels come from `lens_engine.detector.preprocess`, the same code as at inference. What is kept are the
slices of the series themselves; a sample interpolates them along z, so that its grid passes exactly through the slice
that was chosen (spec 2, step 3).
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.detector.config import DetectorConfig
from lens_engine.detector.preprocess import SAMPLE_REACH, NetworkGrid, prepare
from lens_engine.volume import Volume
from lens_training.datasets.case import Case


@dataclass(frozen=True, slots=True, eq=False)
class PlaneStack:
    """The slices of one series on the network's pixels.

    Attributes
    ----------
    pixels
        float16 (n, h, w), one image for each slice of the series, mean subtracted, without padding.
    grid
        Maps boxes of the series to these pixels; its slices are those of the series.
    """

    pixels: NDArray[np.float16]
    grid: NetworkGrid

    def nine_slices(self, depth_mm: float, grid_mm: float, window: tuple[slice, slice]) -> NDArray[np.float32]:
        """Return the nine grid slices around a depth, (9, h, w), cut to a window of rows and columns.

        Grid slices lie `grid_mm` apart and pass through `depth_mm`; beyond the first and the last one that lies in the
        volume, that one repeats.
        """
        spacing_mm = self.grid.geometry.spacing_mm[0]
        length_mm = (len(self.pixels) - 1) * spacing_mm
        above, below = math.floor(depth_mm / grid_mm + 1e-6), math.floor((length_mm - depth_mm) / grid_mm + 1e-6)
        steps = np.clip(np.arange(-SAMPLE_REACH, SAMPLE_REACH + 1), -above, below)
        positions = np.clip((depth_mm + steps * grid_mm) / spacing_mm, 0, len(self.pixels) - 1)
        upper = np.minimum(np.floor(positions + 1e-6).astype(np.intp), len(self.pixels) - 1)
        lower = np.minimum(upper + 1, len(self.pixels) - 1)
        share = np.maximum(positions - upper, 0).astype(np.float32)[:, None, None]
        rows, columns = window
        first = self.pixels[upper, rows, columns].astype(np.float32)
        second = self.pixels[lower, rows, columns].astype(np.float32)
        blended: NDArray[np.float32] = first + (second - first) * share
        return blended


def make_planes(volume: Volume, config: DetectorConfig) -> PlaneStack:
    """Bring every slice of a volume to the network's pixels."""
    every_slice = config.model_copy(update={"grid_mm": volume.geometry.spacing_mm[0]})
    prepared = prepare(volume, every_slice)
    height, width = prepared.grid.size
    slices = [prepared.network_slice(index)[:height, :width].astype(np.float16) for index in range(prepared.grid.count)]
    return PlaneStack(np.stack(slices), prepared.grid)


class PlaneCache:
    """Prepared cases within a limit of memory; the one that was not used for longest goes first.

    Parameters
    ----------
    limit_bytes
        For all pixels together; the last case stays even if it is larger.
    """

    def __init__(self, cases: Sequence[Case], config: DetectorConfig, limit_bytes: int) -> None:
        self._cases = cases
        self._config = config
        self._limit_bytes = limit_bytes
        self._stacks: OrderedDict[int, PlaneStack] = OrderedDict()
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether another case of the largest size so far might push one out."""
        largest = max((stack.pixels.nbytes for stack in self._stacks.values()), default=0)
        return self._bytes + largest > self._limit_bytes

    def planes(self, number: int) -> PlaneStack:
        """Return the prepared case of that number, loading it if need be."""
        if number in self._stacks:
            self._stacks.move_to_end(number)
            return self._stacks[number]
        stack = make_planes(self._cases[number].load(), self._config)
        self._stacks[number] = stack
        self._bytes += stack.pixels.nbytes
        while self._bytes > self._limit_bytes and len(self._stacks) > 1:
            _, dropped = self._stacks.popitem(last=False)
            self._bytes -= dropped.pixels.nbytes
        return stack
