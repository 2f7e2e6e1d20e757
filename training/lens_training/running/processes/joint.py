"""The training step of a process that may be one of several: failures are those of all of them.

Every process learns from a batch of its own, and gradients are averaged over all of them, as if one process had learnt
from all batches before its step. Batch normalisation sees each process's own batch, 12 images in LENS however many
devices there are (algorithms 8, note v); the statistics kept for inference are the first process's.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, TypeVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer

from lens_engine.errors import LensError
from lens_training.errors import TrainingError
from lens_training.running.optimiser import radam
from lens_training.running.processes.agreement import Agreement
from lens_training.running.schedule import ScheduleRecipe, TrainingPrecision

MOST_SKIPPED_STEPS = 30
"""In a row. A half-precision step with infinite gradients is skipped and the next one scaled by half; 16 halvings undo
the scale that it starts with."""

BatchT = TypeVar("BatchT")


class JointTraining(LightningModule, Generic[BatchT], ABC):
    """A network with its loss and optimiser, in step with the other processes of the run.

    Parameters
    ----------
    steps
        How many steps the whole run has; the learning rate follows them.

    Attributes
    ----------
    samples_name
        What a batch holds, in the plural, for people.
    skips_layers
        Whether a step uses some layers only, and in another process other ones.
    agreement
        How this process decides with the others; until the runner opens it, it is alone.
    weights
        Weight of each part of the loss, by its name; empty where it has no parts.
    latest
        The loss of the latest step, its parts, and what else is worth a curve.
    """

    samples_name: str
    skips_layers: bool = False

    def __init__(self, schedule: ScheduleRecipe, precision: TrainingPrecision, steps: int) -> None:
        super().__init__()
        self.agreement = Agreement()
        self.weights: Mapping[str, float] = {}
        self.latest: dict[str, float] = {}
        self._schedule = schedule
        self._steps = steps
        self._skips_infinite = precision is TrainingPrecision.FP16_MIXED
        self._skipped_steps = 0

    @abstractmethod
    def losses(self, batch: BatchT) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the loss of a batch, and the numbers that are shown beside it."""

    @abstractmethod
    def samples_in(self, batch: BatchT) -> int:
        """Return how many samples a batch has."""

    @abstractmethod
    def latest_loss_of(self, batch: BatchT) -> str:
        """Return which batch it was and what its loss is, for messages."""

    @abstractmethod
    def memory_error(self) -> TrainingError:
        """Return what to say when a step does not fit into the memory of the GPU."""

    def training_step(self, batch: BatchT | LensError, _batch_index: int) -> Tensor:
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
            loss = self._finite_loss(batch)
        except LensError as error:
            failure = error
        except torch.OutOfMemoryError:
            failure = self.memory_error()
        self.agreement.raise_first(failure)
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """RAdam, by the recipe's schedule."""
        return radam(self, self._schedule, self._steps)

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
        del gradient_clip_val, gradient_clip_algorithm
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self._schedule.gradient_clip)
        self._skipped_steps = 0 if torch.isfinite(norm) else self._skipped_steps + 1
        if self._skipped_steps > (MOST_SKIPPED_STEPS if self._skips_infinite else 0):
            failure = TrainingError(
                f"The gradient of step {self.trainer.global_step} is {float(norm)}, with losses {self.latest}",
                "Finite numbers are needed",
                "Use other weights or another seed, or a recipe with a lower learning rate or precision 32-true",
            )
            self.agreement.raise_first(failure)

    def _finite_loss(self, batch: BatchT) -> Tensor:
        loss, others = self.losses(batch)
        self.latest = {"loss": float(loss.detach()), **{name: float(value.detach()) for name, value in others.items()}}
        if not math.isfinite(self.latest["loss"]):
            raise TrainingError(
                f"The loss of {self.latest_loss_of(batch)}",
                "Finite numbers are needed",
                "Look for broken scans in the data set, or train by a recipe with a lower learning rate",
            )
        return loss
