"""The patch around a finding, the same for training and inference: the detector's pixels and slices.

See algorithms 2, 4.6.

Patch coordinates are edges of network voxels: grid slice j of the patch covers [j, j + 1) along z. Where a patch leaves
the crop or the volume, the outermost voxel repeats.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lens_engine.detector.false_positive_reduction.config import FprConfig
from lens_engine.detector.preprocess import NetworkGrid, prepare
from lens_engine.findings import Box3D
from lens_engine.volume import Volume


class PatchPlace(NamedTuple):
    """Where a patch lies.

    Attributes
    ----------
    start
        Its first network voxel (z, y, x); may lie outside the image.
    box
        float32 (6,), the finding's box in voxels of the patch, cut at its borders.
    """

    start: tuple[int, int, int]
    box: NDArray[np.float32]


class Patch(NamedTuple):
    """What the network sees of a finding.

    Attributes
    ----------
    voxels
        float32 (depth, height, width), intensities in [0, 255] minus the mean.
    box
        float32 (6,), `[x1, y1, z1, x2, y2, z2]` in voxels of the patch.
    """

    voxels: NDArray[np.float32]
    box: NDArray[np.float32]


class PatchCutter:
    """Cuts patches out of one volume.

    Remembers the slices of the last patch only: memory does not grow with the volume, and boxes in the order of
    `by_depth` need each slice once.
    """

    def __init__(self, volume: Volume, config: FprConfig) -> None:
        self._prepared = prepare(volume, config)
        self._shape = config.patch
        self._slices: dict[int, NDArray[np.float32]] = {}

    def cut(self, box: Box3D) -> Patch:
        """Return the patch whose centre is that of the box, to half a voxel; the box in voxel edges of the series."""
        grid = self._prepared.grid
        (first, top, left), inside = place(box, grid, self._shape)
        depth, height, width = self._shape
        indices = np.clip(np.arange(first, first + depth), 0, grid.count - 1)
        rows = np.clip(np.arange(top, top + height), 0, grid.size[0] - 1)
        columns = np.clip(np.arange(left, left + width), 0, grid.size[1] - 1)
        self._slices = {
            index: self._slices[index] if index in self._slices else self._prepared.network_slice(index)
            for index in np.unique(indices).tolist()
        }
        window = np.ix_(rows, columns)
        return Patch(np.stack([self._slices[index][window] for index in indices.tolist()]), inside)


def place(box: Box3D, grid: NetworkGrid, shape: tuple[int, int, int]) -> PatchPlace:
    """Return where the patch of that shape (z, y, x) around a box lies."""
    x1, y1, z1, x2, y2, z2 = box
    in_plane = grid.to_network(np.asarray([[x1, y1, x2, y2]]))[0]
    low = np.array([*in_plane[:2], _grid_edge(grid, z1)])
    high = np.array([*in_plane[2:], _grid_edge(grid, z2)])
    sides = np.asarray(shape[::-1], dtype=np.float64)
    start = np.floor((low + high - sides) / 2 + 0.5)
    inside = np.concatenate([np.clip(low - start, 0, sides), np.clip(high - start, 0, sides)]).astype(np.float32)
    x, y, z = (int(value) for value in start)
    return PatchPlace((z, y, x), inside)


def by_depth(boxes: list[Box3D]) -> list[int]:
    """Return the numbers of the boxes from head to feet, by their centres."""
    return sorted(range(len(boxes)), key=lambda number: boxes[number][2] + boxes[number][5])


def _grid_edge(grid: NetworkGrid, edge: float) -> float:
    """Map a voxel edge along z to the edges between grid slices, each of which stands for half a step on both sides."""
    depth_mm = (edge - 0.5) * grid.geometry.spacing_mm[0]  # of the first slice's centre is 0
    return (depth_mm - grid.first_mm) / grid.spacing_mm + 0.5
