"""Objective of the anchor-free proposal network of LENS: centres and sizes (LENS Eq. 1 and 2; algorithms 4.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from lens_training.datasets.labels import SliceLabels
from lens_training.detector.objectives.base import IGNORED, NEGATIVE, POSITIVE, focal_terms
from lens_training.detector.objectives.cell_objective import CellObjective, error_of_positives
from lens_training.detector.objectives.cells import (
    CellGrid,
    CellTargets,
    largest_first,
    roles_without_lesions,
)

CLASS_WEIGHT = 0.5
"""Of either class in the focal loss."""
CENTRE_SHARE = 0.2
"""Share of a lesion's sides that is its centre (B_ctn)."""
IGNORED_SHARE = 0.5
"""Share of a lesion's sides in which nothing but the centre is learnt, and of an uncertain place's in which nothing is
(B_ign)."""


@dataclass(frozen=True, slots=True, eq=False)
class CentreTargets(CellTargets):
    """What an AFP should say about one image.

    Attributes
    ----------
    distances
        float32 (4, h, w): to the top, bottom, left and right side of the lesion, in cells; 0 where not positive.
    """

    distances: Tensor


class AfpObjective(CellObjective[CentreTargets]):
    """Focal loss of the centres, L1 of the distances."""

    WEIGHTS: ClassVar = {"centre": 1.0, "size": 0.1}
    SCORES: ClassVar = "centre"

    def targets(self, labels: SliceLabels, grid: CellGrid) -> CentreTargets:
        """Return the `centre_targets` of one image."""
        return centre_targets(labels, grid)

    def parts(self, outputs: Sequence[Tensor], targets: CentreTargets) -> dict[str, Tensor]:
        """Return `centre` and `size`."""
        logits, distances = outputs
        return {
            "centre": centre_loss(logits[:, 0], targets.roles),
            "size": error_of_positives(distances, targets.distances, targets.roles),
        }


def centre_targets(labels: SliceLabels, grid: CellGrid) -> CentreTargets:
    """Return the targets of one image, whose labels are in its pixels.

    The cell that holds the centre of a lesion is always positive: the centre of a small one is narrower than a cell.
    """
    roles = roles_without_lesions(labels, grid, IGNORED_SHARE)
    distances = np.zeros((4, grid.height, grid.width), dtype=np.float32)
    for box in labels.lesions:
        roles[grid.inside(box, IGNORED_SHARE)] = IGNORED
    for box in largest_first(labels.lesions):
        centre = grid.around_centre(box, CENTRE_SHARE)
        roles[centre] = POSITIVE
        distances[:, centre] = grid.distances(box)[:, centre]
    return CentreTargets(torch.from_numpy(roles), torch.from_numpy(distances))


def centre_loss(logits: Tensor, roles: Tensor) -> Tensor:
    """Return the focal loss of the centre map, per positive cell (LENS Eq. 1; gamma 2, both classes at one half).

    Parameters
    ----------
    logits
        (b, h, w).
    roles
        int8 (b, h, w); ignored cells count nowhere.
    """
    positive, negative = roles == POSITIVE, roles == NEGATIVE
    hit, miss = focal_terms(logits)
    total: Tensor = CLASS_WEIGHT * ((hit * positive).sum() + (miss * negative).sum()) / positive.sum().clamp(min=1)
    return total
