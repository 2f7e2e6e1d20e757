"""Cells of a feature map that boxes cover, for the objectives that learn at every cell.

Cell (u, v) stands for the image point `(STRIDE * u + STRIDE / 2, STRIDE * v + STRIDE / 2)`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lens_engine.boxes import sizes
from lens_engine.detector.network.backbone import STRIDE
from lens_training.datasets.labels import BoxArray, SliceLabels
from lens_training.detector.objectives.base import IGNORED, NEGATIVE

CellMask = NDArray[np.bool_]
"""Which cells, (h, w)."""


@dataclass(frozen=True, slots=True)
class CellGrid:
    """The cells of one feature map.

    Attributes
    ----------
    image_size
        (height, width) of the image in pixels, whose padding has cells as well; None where there is no padding.
    """

    height: int
    width: int
    image_size: tuple[int, int] | None = None

    @property
    def y(self) -> NDArray[np.float64]:
        """Image rows of the cells' points, (h, 1)."""
        return ((np.arange(self.height, dtype=np.float64) + 0.5) * STRIDE)[:, None]

    @property
    def x(self) -> NDArray[np.float64]:
        """Image columns of the cells' points, (1, w)."""
        return ((np.arange(self.width, dtype=np.float64) + 0.5) * STRIDE)[None, :]

    @property
    def beside_image(self) -> CellMask:
        """Which cells' points lie in the padding."""
        if self.image_size is None:
            return np.zeros((self.height, self.width), dtype=bool)
        beside: NDArray[np.bool_] = (self.y >= self.image_size[0]) | (self.x >= self.image_size[1])
        return beside

    def inside(self, box: NDArray[np.float64], share: float) -> CellMask:
        """Return which cells' points lie in the central `share` of a box's sides."""
        x1, y1, x2, y2 = box
        half_width, half_height = (x2 - x1) / 2 * share, (y2 - y1) / 2 * share
        columns: NDArray[np.bool_] = np.abs(self.x - (x1 + x2) / 2) <= half_width
        rows: NDArray[np.bool_] = np.abs(self.y - (y1 + y2) / 2) <= half_height
        return columns & rows

    def centre(self, box: NDArray[np.float64]) -> tuple[int, int]:
        """Return row and column of the cell that holds the centre of a box."""
        x1, y1, x2, y2 = box
        row, column = int((y1 + y2) / 2 // STRIDE), int((x1 + x2) / 2 // STRIDE)
        return min(max(row, 0), self.height - 1), min(max(column, 0), self.width - 1)

    def around_centre(self, box: NDArray[np.float64], share: float) -> CellMask:
        """Return the cells in the central `share` of a box, and in any case the one that holds its centre."""
        mask = self.inside(box, share)
        mask[self.centre(box)] = True
        return mask

    def distances(self, box: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far top, bottom, left and right of a box are from every cell's point, in cells, (4, h, w)."""
        x1, y1, x2, y2 = box
        sides = np.broadcast_arrays(self.y - y1, y2 - self.y, self.x - x1, x2 - self.x)
        return np.stack(sides) / STRIDE


@dataclass(frozen=True, slots=True, eq=False)
class CellTargets:
    """What a network should say about the cells of one image, or of several where every map has a dimension more.

    Attributes
    ----------
    roles
        int8 (h, w): `POSITIVE`, `NEGATIVE` or `IGNORED`.
    """

    roles: Tensor

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return the targets with `change` applied to every map."""
        return type(self)(**{part.name: change(getattr(self, part.name)) for part in fields(self)})


Targets = TypeVar("Targets", bound=CellTargets)


def stacked(targets: Sequence[Targets]) -> Targets:
    """Return the targets of several images as one, their maps stacked."""
    kind = type(targets[0])
    return kind(**{part.name: torch.stack([getattr(own, part.name) for own in targets]) for part in fields(kind)})


def grids_of(maps: Tensor, sizes: Sequence[tuple[int, int]]) -> list[CellGrid]:
    """Return the cells of maps (b, ..., h, w) of images that have these sizes without padding."""
    height, width = maps.shape[-2:]
    return [CellGrid(height, width, size) for size in sizes]


def roles_without_lesions(labels: SliceLabels, grid: CellGrid, uncertain_share: float) -> NDArray[np.int8]:
    """Return what the cells are told by everything but lesions: `NEGATIVE` or `IGNORED`, (h, w).

    Cells beside the image are ignored: nobody said that there is nothing.

    Parameters
    ----------
    uncertain_share
        Central share of an uncertain place's sides in which nothing is learnt.
    """
    roles = np.full((grid.height, grid.width), NEGATIVE, dtype=np.int8)
    for box in labels.uncertain:
        roles[grid.around_centre(box, uncertain_share)] = IGNORED
    for box in labels.rejected:
        roles[grid.around_centre(box, 1.0)] = NEGATIVE
    for box in labels.untaught:
        roles[grid.around_centre(box, 1.0)] = IGNORED
    roles[grid.beside_image] = IGNORED
    return roles


def rejected_cells(roles: Tensor, labels: Sequence[SliceLabels], grids: Sequence[CellGrid]) -> Tensor:
    """Return which negative cells lie in a rejected place, bool (b, h, w) as their roles."""
    masks = np.zeros(roles.shape, dtype=bool)
    for mask, own, grid in zip(masks, labels, grids, strict=True):
        for box in own.rejected:
            mask |= grid.around_centre(box, 1.0)
    return (roles == NEGATIVE) & torch.from_numpy(masks)


def largest_first(boxes: BoxArray) -> BoxArray:
    """Return boxes in the order in which they are drawn, so that a cell belongs to the smallest of several."""
    return boxes[np.argsort(-sizes(boxes), kind="stable")]
