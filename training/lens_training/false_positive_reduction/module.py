"""One step of training the false-positive reduction: the focal loss over a batch of patches (algorithms 4.6)."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_training.errors import TrainingError
from lens_training.recipes.false_positive_reduction import FprRecipe
from lens_training.running.processes.joint import JointTraining
from lens_training.running.schedule import TrainingPrecision


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
    number
        Its place among all batches of the run.
    """

    voxels: Tensor
    boxes: Tensor
    is_lesion: Tensor
    number: int


class FprTraining(JointTraining[PatchBatch]):
    """A false-positive reduction network with its loss and optimiser.

    Parameters
    ----------
    steps
        How many steps the whole run has; the learning rate follows them.
    """

    samples_name = "patches"

    def __init__(
        self,
        network: FprNetwork,
        recipe: FprRecipe,
        steps: int,
        precision: TrainingPrecision = TrainingPrecision.FP32,
    ) -> None:
        super().__init__(recipe.schedule, precision, steps)
        self.network = network
        self._recipe = recipe

    def losses(self, batch: PatchBatch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the loss of a batch, and the share of right answers."""
        logits = self.network(batch.voxels.float(), batch.boxes).float()
        loss = focal_loss(logits, batch.is_lesion, self._recipe.focal_alpha, self._recipe.focal_gamma)
        return loss, {"accuracy": ((logits.detach() > 0) == batch.is_lesion).float().mean()}

    def samples_in(self, batch: PatchBatch) -> int:
        """Return how many patches a batch has."""
        return len(batch.is_lesion)

    def latest_loss_of(self, batch: PatchBatch) -> str:
        """Return the number of the batch and its loss."""
        return f"batch {batch.number} is {self.latest['loss']}"

    def memory_error(self) -> TrainingError:
        """Return what to say when a step does not fit into the memory of the GPU."""
        return TrainingError(
            "The memory of the GPU is too small for a step of false-positive reduction",
            f"A batch has {self._recipe.batch_size} patches",
            "Lower batch_size in false_positive_reduction of the recipe, or train in precision bf16-mixed",
        )


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
