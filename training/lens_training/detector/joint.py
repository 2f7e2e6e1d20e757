"""The training step of a process that may be one of several: failures are those of all of them.

Every process learns from a batch of its own, and gradients are averaged over all of them, as if one process had learnt
from all batches before its step. Batch normalisation sees each process's own batch, 12 images in LENS however many
devices there are (spec 8, note v); the statistics kept for inference are the first process's.
"""

import torch
from torch.optim import Optimizer

from lens_engine.detector.assembly import LensDetector
from lens_engine.errors import LensError
from lens_training.detector.batches import Batch
from lens_training.detector.module import DetectorTraining
from lens_training.errors import TrainingError
from lens_training.recipes.recipe import Recipe
from lens_training.running.agreement import Agreement
from lens_training.running.schedule import TrainingPrecision

MOST_SKIPPED_STEPS = 30
"""In a row. A half-precision step with infinite gradients is skipped and the next one scaled by half; 16 halvings undo
the scale that it starts with."""


class JointTraining(DetectorTraining):
    """A detector with its losses and optimiser, in step with the other processes of the run."""

    def __init__(self, model: LensDetector, recipe: Recipe, steps: int, seed: int, agreement: Agreement) -> None:
        super().__init__(model, recipe, steps, seed)
        self._agreement = agreement
        self._skips_infinite = recipe.precision is TrainingPrecision.FP16_MIXED
        self._skipped_steps = 0

    def training_step(self, batch: Batch | LensError, _batch_index: int) -> torch.Tensor:
        """Return the loss of this process's batch, once all processes have theirs.

        Raises
        ------
        LensError
            If a process has no batch, or its loss is not finite; `EndedElsewhereError` in all but the first process.
        """
        failure: LensError | None = None
        loss = torch.zeros(())
        try:
            if isinstance(batch, LensError):
                raise batch
            loss = super().training_step(batch, _batch_index)
        except LensError as error:
            failure = error
        except torch.OutOfMemoryError:
            failure = memory_error(self._recipe)
        self._agreement.raise_first(failure)
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Limit the norm of the whole gradient, the same in all processes.

        Raises
        ------
        TrainingError
            If the gradient is not finite where it should be: the step would spoil the weights for good.
        """
        del gradient_clip_algorithm
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, gradient_clip_val or self._recipe.schedule.gradient_clip)
        self._skipped_steps = 0 if torch.isfinite(norm) else self._skipped_steps + 1
        if self._skipped_steps > (MOST_SKIPPED_STEPS if self._skips_infinite else 0):
            failure = TrainingError(
                f"The gradient of step {self.trainer.global_step} is {float(norm)}, with losses {self.latest}",
                "Finite numbers are needed",
                "Lower the learning rate of the recipe, or set its precision to 32-true",
            )
            self._agreement.raise_first(failure)

    def transfer_batch_to_device(  # type: ignore[override] # what is no batch comes back as it is
        self, batch: Batch | LensError, device: torch.device, dataloader_idx: int
    ) -> Batch | LensError:
        """Move the images; labels stay on the CPU."""
        return (
            batch if isinstance(batch, LensError) else super().transfer_batch_to_device(batch, device, dataloader_idx)
        )


def memory_error(recipe: Recipe) -> TrainingError:
    """Return what to say when a step does not fit into the memory of the GPU."""
    return TrainingError(
        "The memory of the GPU is too small for a training step",
        f"A batch has {recipe.sampling.batch_size} samples of nine slices",
        "Lower sampling.batch_size or sampling.regions of the recipe, or set precision to bf16-mixed",
    )
