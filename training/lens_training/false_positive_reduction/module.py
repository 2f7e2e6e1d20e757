"""One step of training the false-positive reduction: the focal loss over a batch of patches (spec 4.6)."""

from typing import NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional

from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_training.errors import TrainingError
from lens_training.recipes.false_positive_reduction import FprRecipe
from lens_training.running.optimiser import radam


class PatchBatch(NamedTuple):
    """Patches to learn from.

    Attributes
    ----------
    voxels
        float16 (b, 1, depth, height, width).
    boxes
        float32 (b, 6), in voxels of the patch.
    is_lesion
        bool (b,).
    step
        The step that this batch belongs to.
    """

    voxels: Tensor
    boxes: Tensor
    is_lesion: Tensor
    step: int


class FprTraining(LightningModule):
    """A false-positive reduction network with its loss and optimiser.

    Parameters
    ----------
    steps
        Of the whole run; decides the learning rate.

    Attributes
    ----------
    latest
        Loss and share of right answers of the latest step.
    """

    def __init__(self, network: FprNetwork, recipe: FprRecipe, steps: int) -> None:
        super().__init__()
        self.network = network
        self.latest: dict[str, float] = {}
        self._recipe = recipe
        self._steps = steps

    def training_step(self, batch: PatchBatch, _batch_index: int) -> Tensor:
        """Return the loss of one batch.

        Raises
        ------
        TrainingError
            If the loss is not finite.
        """
        logits = self.network(batch.voxels.float(), batch.boxes).float()
        loss = focal_loss(logits, batch.is_lesion, self._recipe.focal_alpha, self._recipe.focal_gamma)
        right = ((logits.detach() > 0) == batch.is_lesion).float().mean()
        self.latest = {"loss": float(loss.detach()), "accuracy": float(right)}
        if not np.isfinite(self.latest["loss"]):
            raise TrainingError(
                f"The loss of step {batch.step} is {self.latest['loss']}",
                "A finite number is needed",
                "Lower the learning rate of the recipe, or look for broken scans in the data set",
            )
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """RAdam with the recipe's schedule."""
        return radam(self.network, self._recipe.schedule, self._steps)


def focal_loss(logits: Tensor, is_lesion: Tensor, alpha: float, gamma: float) -> Tensor:
    """Return the mean focal loss of logits (b,) for classes (b,).

    Parameters
    ----------
    alpha
        Weight of the lesions; the others have 1 - alpha.
    gamma
        0 is cross-entropy.
    """
    right = torch.where(is_lesion, logits, -logits)
    weight = torch.where(is_lesion, alpha, 1 - alpha)
    return -(weight * right.neg().sigmoid() ** gamma * functional.logsigmoid(right)).mean()
