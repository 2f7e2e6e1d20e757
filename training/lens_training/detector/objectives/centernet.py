"""Objective of a CenterNet proposal network: a heat map of centres, sizes and offsets (algorithms 4.3b).

[our choice] Of an uncertain place the central half is ignored, as for an AFP: the splat of a lesion of that size lies
in it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lens_engine.detector.network.backbone import STRIDE
from lens_training.datasets.labels import SliceLabels
from lens_training.detector.objectives.base import NEGATIVE, POSITIVE, focal_terms
from lens_training.detector.objectives.cell_objective import CellObjective, error_of_positives
from lens_training.detector.objectives.cells import (
    CellGrid,
    CellTargets,
    largest_first,
    roles_without_lesions,
)

IGNORED_SHARE = 0.5
"""Share of an uncertain place's sides in which nothing is learnt."""
SPLAT_OVERLAP = 0.7
"""A box whose corners are off by the radius of the splat still has this IoU with the lesion."""
_PENALTY_EXPONENT = 4


@dataclass(frozen=True, slots=True, eq=False)
class HeatTargets(CellTargets):
    """What a CenterNet should say about one image; positive is the cell of each centre.

    Attributes
    ----------
    heat
        float32 (h, w): 1 at the centres, less around them; the more, the less a negative counts.
    sizes
        float32 (2, h, w): width and height of the lesion in cells; 0 where not positive.
    offsets
        float32 (2, h, w): x and y of the centre from the corner of its cell, in cells; 0 where not positive.
    """

    heat: Tensor
    sizes: Tensor
    offsets: Tensor


class CenterNetObjective(CellObjective[HeatTargets]):
    """Penalty-reduced focal loss of the heat map, L1 of sizes and offsets."""

    WEIGHTS: ClassVar = {"heat": 1.0, "size": 0.1, "offset": 1.0}
    SCORES: ClassVar = "heat"

    def targets(self, labels: SliceLabels, grid: CellGrid) -> HeatTargets:
        """Return the `heat_targets` of one image."""
        return heat_targets(labels, grid)

    def parts(self, outputs: Sequence[Tensor], targets: HeatTargets) -> dict[str, Tensor]:
        """Return `heat`, `size` and `offset`."""
        logits, extents, offsets = outputs
        return {
            "heat": heat_loss(logits[:, 0], targets.heat, targets.roles),
            "size": error_of_positives(extents, targets.sizes, targets.roles),
            "offset": error_of_positives(offsets, targets.offsets, targets.roles),
        }


def heat_targets(labels: SliceLabels, grid: CellGrid) -> HeatTargets:
    """Return the targets of one image, whose labels are in its pixels."""
    roles = roles_without_lesions(labels, grid, IGNORED_SHARE)
    heat = np.zeros((grid.height, grid.width), dtype=np.float32)
    sizes, offsets = np.zeros((2, 2, grid.height, grid.width), dtype=np.float32)
    for box in largest_first(labels.lesions):
        row, column = grid.centre(box)
        centre, extent = (box[:2] + box[2:]) / 2 / STRIDE, (box[2:] - box[:2]) / STRIDE
        heat = np.maximum(heat, _splat(grid, (row, column), splat_radius(*extent)))
        roles[row, column] = POSITIVE
        sizes[:, row, column] = extent
        offsets[:, row, column] = centre - (column, row)
    return HeatTargets(*map(torch.from_numpy, (roles, heat, sizes, offsets)))


def splat_radius(width: float, height: float) -> float:
    """Return how far both corners of a box may be off at a least IoU of `SPLAT_OVERLAP`, in the unit of its sides.

    The least of three cases: both corners move the same way, both inwards, both outwards.
    """
    area, half_girth, overlap = width * height, width + height, SPLAT_OVERLAP
    shifted = _least_root(1, -half_girth, area * (1 - overlap) / (1 + overlap))
    inwards = _least_root(4, -2 * half_girth, area * (1 - overlap))
    outwards = _least_root(-4 * overlap, -2 * overlap * half_girth, area * (1 - overlap))
    return min(shifted, inwards, outwards)


def heat_loss(logits: Tensor, heat: Tensor, roles: Tensor) -> Tensor:
    """Return the focal loss of the heat map per centre; negatives near a centre count less (exponents 2 and 4).

    Parameters
    ----------
    logits, heat
        (b, h, w).
    roles
        int8 (b, h, w); ignored cells count nowhere.
    """
    positive, negative = roles == POSITIVE, roles == NEGATIVE
    hit, miss = focal_terms(logits)
    reduced = miss * (1 - heat).pow(_PENALTY_EXPONENT)
    total: Tensor = ((hit * positive).sum() + (reduced * negative).sum()) / positive.sum().clamp(min=1)
    return total


def _splat(grid: CellGrid, centre: tuple[int, int], radius: float) -> NDArray[np.float32]:
    """Return a Gaussian of three deviations around a cell, cut off beyond whole cells of the radius."""
    reach = int(radius)
    deviation = (2 * reach + 1) / 6
    rows, columns = np.abs(np.arange(grid.height) - centre[0]), np.abs(np.arange(grid.width) - centre[1])
    bells = [np.exp(-np.square(steps) / (2 * deviation**2)) * (steps <= reach) for steps in (rows, columns)]
    return np.outer(*bells).astype(np.float32)


def _least_root(a: float, b: float, c: float) -> float:
    """Return the positive solution of `a x^2 + b x + c = 0` that is nearest to 0; c is positive and b negative."""
    return (-b - math.sqrt(b * b - 4 * a * c)) / (2 * a)
