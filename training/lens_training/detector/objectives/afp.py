"""Objective of the anchor-free proposal network of LENS: centres and sizes (LENS Eq. 1 and 2; algorithms 4.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from lens_training.datasets.labels import SliceLabels
from lens_training.detector.objectives.base import (
    IGNORED,
    NEGATIVE,
    POSITIVE,
    ProposalObjective,
    focal_terms,
    full_precision,
)
from lens_training.detector.objectives.cells import (
    CellGrid,
    grids_of,
    largest_first,
    rejected_cells,
    roles_without_lesions,
)

CENTRE_SHARE = 0.2
"""Share of a lesion's sides that is its centre (B_ctn)."""
IGNORED_SHARE = 0.5
"""Share of a lesion's sides in which nothing but the centre is learnt, and of an uncertain place's in which nothing is
(B_ign)."""


@dataclass(frozen=True, slots=True, eq=False)
class CentreTargets:
    """What an AFP should say about one image.

    Attributes
    ----------
    roles
        int8 (h, w): `POSITIVE`, `NEGATIVE` or `IGNORED`.
    distances
        float32 (4, h, w): to the top, bottom, left and right side of the lesion, in cells; 0 where not positive.
    """

    roles: Tensor
    distances: Tensor


class AfpObjective(ProposalObjective):
    """Focal loss of the centres, L1 of the distances."""

    WEIGHTS: ClassVar = {"centre": 1.0, "size": 0.1}

    def losses(
        self,
        outputs: Sequence[Tensor],
        labels: Sequence[SliceLabels],
        sizes: Sequence[tuple[int, int]],
        generator: np.random.Generator,
    ) -> dict[str, Tensor]:
        """Return `centre` and `size`."""
        del generator
        logits, distances = map(full_precision, outputs)
        targets = [centre_targets(own, grid) for own, grid in zip(labels, grids_of(logits, sizes), strict=True)]
        roles = torch.stack([target.roles for target in targets]).to(logits.device)
        wanted = torch.stack([target.distances for target in targets]).to(logits.device)
        return {"centre": centre_loss(logits[:, 0], roles), "size": size_loss(distances, wanted, roles)}

    def rejection_losses(
        self,
        outputs: Sequence[Tensor],
        images: Sequence[int],
        labels: Sequence[SliceLabels],
        sizes: Sequence[tuple[int, int]],
        generator: np.random.Generator,
    ) -> dict[str, Tensor]:
        """Return `centre` of rejected places alone."""
        del generator
        logits = full_precision(outputs[0])[:, 0]
        grids = grids_of(logits, sizes)
        roles = torch.stack([centre_targets(own, grid).roles for own, grid in zip(labels, grids, strict=True)])
        certain = rejected_cells(roles, labels, grids)[list(images)].to(logits.device)
        _, miss = focal_terms(logits)
        return {"centre": 0.5 * (miss * certain).sum() / (roles == POSITIVE).sum().clamp(min=1)}


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
    total: Tensor = 0.5 * ((hit * positive).sum() + (miss * negative).sum()) / positive.sum().clamp(min=1)
    return total


def size_loss(distances: Tensor, targets: Tensor, roles: Tensor) -> Tensor:
    """Return the L1 error of the four distances, summed, per positive cell, in cells (LENS Eq. 2).

    Parameters
    ----------
    distances, targets
        (b, 4, h, w).
    roles
        int8 (b, h, w).
    """
    positive = roles == POSITIVE
    error = (distances - targets).abs().sum(dim=1) * positive
    return error.sum() / positive.sum().clamp(min=1)
