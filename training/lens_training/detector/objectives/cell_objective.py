"""What the objectives have in common that tell every cell of a feature map whether it is a lesion."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Generic

import numpy as np
import torch
from torch import Tensor

from lens_training.datasets.labels import SliceLabels
from lens_training.detector.objectives.base import IGNORED, POSITIVE, ProposalObjective, full_precision
from lens_training.detector.objectives.cells import CellGrid, Targets, grids_of, rejected_cells, stacked


class CellObjective(ProposalObjective, Generic[Targets]):
    """Losses of a proposal network that scores every cell; its scores come first among its outputs.

    Attributes
    ----------
    SCORES
        The part of the loss that is about the scores.
    """

    SCORES: ClassVar[str]

    @abstractmethod
    def targets(self, labels: SliceLabels, grid: CellGrid) -> Targets:
        """Return what the network should say about one image, whose labels are in its pixels."""

    @abstractmethod
    def parts(self, outputs: Sequence[Tensor], targets: Targets) -> dict[str, Tensor]:
        """Return `losses` of maps (b, ..., h, w) in full precision, whose targets are stacked."""

    def divisors(self, targets: Targets) -> Mapping[str, Tensor]:
        """Return what each part is divided by: the number of positive cells, and at least 1."""
        count = (targets.roles == POSITIVE).sum().clamp(min=1)
        return dict.fromkeys(self.WEIGHTS, count)

    def losses(
        self,
        outputs: Sequence[Tensor],
        labels: Sequence[SliceLabels],
        sizes: Sequence[tuple[int, int]],
        generator: np.random.Generator,
    ) -> dict[str, Tensor]:
        """Return `parts` of what the labels ask for."""
        del generator
        maps = [full_precision(values) for values in outputs]
        targets = self._targets(labels, grids_of(maps[0], sizes))
        return self.parts(maps, targets.mapped(lambda values: values.to(maps[0].device)))

    def certain_losses(
        self,
        outputs: Sequence[Tensor],
        images: Sequence[int],
        labels: Sequence[SliceLabels],
        sizes: Sequence[tuple[int, int]],
        generator: np.random.Generator,
    ) -> dict[str, Tensor]:
        """Return `parts` with every cell ignored but those of lesions and rejected places."""
        del generator
        maps = [full_precision(values) for values in outputs]
        grids = grids_of(maps[0], sizes)
        everybodys = [replace(own, lesions=np.concatenate([own.lesions, own.foreign])) for own in labels]
        divisors = self.divisors(self._targets(everybodys, grids))
        told = self._targets(labels, grids)
        is_certain = (told.roles == POSITIVE) | rejected_cells(told.roles, labels, grids)
        told = replace(told, roles=torch.where(is_certain, told.roles, IGNORED))
        shares = {name: float(own / divisors[name]) for name, own in self.divisors(told).items()}
        names = self.WEIGHTS if (told.roles == POSITIVE).any() else [self.SCORES]
        parts = self.parts(maps, told.mapped(lambda values: values[list(images)].to(maps[0].device)))
        return {name: shares[name] * parts[name] for name in names}

    def _targets(self, labels: Sequence[SliceLabels], grids: Sequence[CellGrid]) -> Targets:
        """Return the targets of all images, stacked."""
        return stacked([self.targets(own, grid) for own, grid in zip(labels, grids, strict=True)])


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
