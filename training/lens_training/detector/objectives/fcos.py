"""Objective of an FCOS proposal network: cells in lesions, the lesions' sides, and centre-ness (algorithms 4.3b).

[our choice] The cell that holds the centre of a lesion is always positive, as for an AFP. An uncertain place is ignored
as a whole, because every cell of a lesion is positive. Sides are compared by GIoU weighted with the wanted centre-ness.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lens_training.datasets.labels import SliceLabels
from lens_training.detector.objectives.base import NEGATIVE, POSITIVE, focal_terms
from lens_training.detector.objectives.cell_objective import CellObjective
from lens_training.detector.objectives.cells import (
    CellGrid,
    CellTargets,
    largest_first,
    roles_without_lesions,
)

POSITIVE_WEIGHT = 0.25
"""Alpha of the focal loss; negatives have the rest."""
_SMALLEST = 1e-6
"""Keeps the ratios of degenerate boxes finite."""


@dataclass(frozen=True, slots=True, eq=False)
class SideTargets(CellTargets):
    """What an FCOS should say about one image.

    Attributes
    ----------
    distances
        float32 (4, h, w): to the top, bottom, left and right side of the lesion, in cells, at least 0; 0 where not
        positive.
    """

    distances: Tensor


class FcosObjective(CellObjective[SideTargets]):
    """Focal loss of the cells, GIoU of the sides, cross-entropy of the centre-ness."""

    WEIGHTS: ClassVar = {"cells": 1.0, "sides": 1.0, "centerness": 1.0}
    SCORES: ClassVar = "cells"

    def targets(self, labels: SliceLabels, grid: CellGrid) -> SideTargets:
        """Return the `side_targets` of one image."""
        return side_targets(labels, grid)

    def parts(self, outputs: Sequence[Tensor], targets: SideTargets) -> dict[str, Tensor]:
        """Return `cells`, `sides` and `centerness`."""
        logits, centerness, distances = outputs
        positive, wanted = targets.roles == POSITIVE, _wanted_sides(targets).to(distances)
        found = distances.movedim(1, -1)[positive]
        weight = centerness_of(wanted)
        return {
            "cells": cell_loss(logits[:, 0], targets.roles),
            "sides": (giou_loss(found, wanted) * weight).sum() / weight.sum().clamp(min=_SMALLEST),
            "centerness": centerness_loss(centerness[:, 0][positive], weight),
        }

    def divisors(self, targets: SideTargets) -> Mapping[str, Tensor]:
        """Return what each part is divided by: `sides` by the wanted centre-ness of all positive cells."""
        weight = centerness_of(_wanted_sides(targets)).sum().clamp(min=_SMALLEST)
        return {**super().divisors(targets), "sides": weight}


def side_targets(labels: SliceLabels, grid: CellGrid) -> SideTargets:
    """Return the targets of one image, whose labels are in its pixels."""
    roles = roles_without_lesions(labels, grid, uncertain_share=1.0)
    distances = np.zeros((4, grid.height, grid.width), dtype=np.float32)
    for box in largest_first(labels.lesions):
        lesion = grid.around_centre(box, 1.0)
        roles[lesion] = POSITIVE
        distances[:, lesion] = np.maximum(grid.distances(box)[:, lesion], 0)
    return SideTargets(torch.from_numpy(roles), torch.from_numpy(distances))


def cell_loss(logits: Tensor, roles: Tensor) -> Tensor:
    """Return the focal loss of the cells (alpha 0.25, gamma 2), per positive cell.

    Parameters
    ----------
    logits
        (b, h, w).
    roles
        int8 (b, h, w); ignored cells count nowhere.
    """
    positive, negative = roles == POSITIVE, roles == NEGATIVE
    hit, miss = focal_terms(logits)
    total = POSITIVE_WEIGHT * (hit * positive).sum() + (1 - POSITIVE_WEIGHT) * (miss * negative).sum()
    return total / positive.sum().clamp(min=1)


def centerness_of(distances: Tensor) -> Tensor:
    """Return how central a point is in a box, 1 in the middle and 0 on a side, (n,), from its distances (n, 4)."""
    vertical, horizontal = distances[:, :2], distances[:, 2:]
    shares = [pair.amin(dim=1) / pair.amax(dim=1).clamp(min=_SMALLEST) for pair in (vertical, horizontal)]
    return (shares[0] * shares[1]).sqrt()


def centerness_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of positive cells, both (n,); 0 where there is none."""
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / max(len(logits), 1)


def giou_loss(distances: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - GIoU, (n,), of boxes around the same points.

    Parameters
    ----------
    distances, targets
        (n, 4), from the points to the top, bottom, left and right side.
    """
    shared = _area(torch.minimum(distances, targets))
    hull = _area(torch.maximum(distances, targets)).clamp(min=_SMALLEST)
    united = _area(distances) + _area(targets) - shared
    return 1 - shared / united.clamp(min=_SMALLEST) + (hull - united) / hull


def _wanted_sides(targets: SideTargets) -> Tensor:
    """Return the distances of the positive cells of stacked targets, (n, 4)."""
    return targets.distances.movedim(1, -1)[targets.roles == POSITIVE]


def _area(distances: Tensor) -> Tensor:
    return (distances[:, 0] + distances[:, 1]) * (distances[:, 2] + distances[:, 3])
