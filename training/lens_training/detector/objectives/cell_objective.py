"""What the objectives have in common that tell every cell of a feature map whether it is a lesion."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from lens_training.datasets.labels import SliceLabels
from lens_training.detector.objectives.base import POSITIVE, ProposalObjective, focal_terms, full_precision
from lens_training.detector.objectives.cells import CellGrid, grids_of, rejected_cells


class CellObjective(ProposalObjective):
    """Losses of a proposal network that scores every cell; its scores come first among its outputs.

    Attributes
    ----------
    SCORES
        The part of the loss that is about the scores.
    """

    SCORES: ClassVar[str]

    @abstractmethod
    def negatives(self, labels: SliceLabels, grid: CellGrid) -> tuple[Tensor, Tensor]:
        """Return the roles of the cells of one image, int8 (h, w), and how much each weighs as a negative, (h, w)."""

    def rejection_losses(
        self,
        outputs: Sequence[Tensor],
        images: Sequence[int],
        labels: Sequence[SliceLabels],
        sizes: Sequence[tuple[int, int]],
        generator: np.random.Generator,
    ) -> dict[str, Tensor]:
        """Return the loss of the scores of rejected places alone."""
        del generator
        logits = full_precision(outputs[0])[:, 0]
        grids = grids_of(logits, sizes)
        told = [self.negatives(own, grid) for own, grid in zip(labels, grids, strict=True)]
        roles, weights = (torch.stack(maps) for maps in zip(*told, strict=True))
        certain = rejected_cells(roles, labels, grids) * weights
        _, miss = focal_terms(logits)
        total = (miss * certain[list(images)].to(logits.device)).sum()
        return {self.SCORES: total / (roles == POSITIVE).sum().clamp(min=1)}


def error_of_positives(values: Tensor, targets: Tensor, roles: Tensor) -> Tensor:
    """Return the L1 error of all values of a cell, summed, per positive cell.

    Parameters
    ----------
    values, targets
        (b, n, h, w).
    roles
        int8 (b, h, w).
    """
    positive = roles == POSITIVE
    error = (values - targets).abs().sum(dim=1) * positive
    return error.sum() / positive.sum().clamp(min=1)
