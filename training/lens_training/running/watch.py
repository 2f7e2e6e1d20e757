"""What happens around the steps of a run: progress, event files, `last.ckpt`, and the end when somebody asks for it."""

import threading
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.tensorboard import SummaryWriter

from lens_training.running.course import Course
from lens_training.running.last_checkpoint import (
    checkpoint_spacing,
    mark,
    save_state,
    save_weights,
    state_bytes,
)
from lens_training.running.processes.joint import JointTraining
from lens_training.running.progress import ProgressLog, Stage
from lens_training.running.stopping import StopSignal

EVENTS_FOLDER = "tensorboard"
"""In the output folder: event files for TensorBoard."""
_GIB = 2**30


class Watch(Callback):
    """Reports progress, writes `last.ckpt`, and ends the training when asked to.

    Losses are those of this process's batches; the speed is that of all processes.

    Attributes
    ----------
    has_stopped
        Whether a process was asked to end, which is then the end of all.
    """

    def __init__(self, training: JointTraining[Any], course: Course, log: ProgressLog, stop: StopSignal) -> None:
        self._training = training
        self._course = course
        self._log = log
        self._stop = stop
        self.has_stopped = False
        self._events: SummaryWriter | None = None
        self._learning_rate = 0.0
        settings, budget = course.settings, int(course.settings.checkpoint_gib * _GIB)
        self._spacing = checkpoint_spacing(settings.checkpoint_every, course.steps.stop, state_bytes(training), budget)
        self._forget()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take SIGTERM back from Lightning, which would end without our checkpoint, and open the event file."""
        del pl_module
        if threading.current_thread() is threading.main_thread():
            self._stop.listen()
        if self._course.settings.tensorboard and self._course.world.is_first:
            # What a killed process wrote after its last checkpoint is shown no more: those steps are done again.
            self._events = SummaryWriter(self._course.folder / EVENTS_FOLDER, purge_step=trainer.global_step + 1)
        self._forget()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the learning rate of this step; at its end it is that of the next one."""
        del pl_module, batch, batch_idx
        self._learning_rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count, report, save."""
        del pl_module, outputs, batch_idx
        for name, value in self._training.latest.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        self._samples += self._training.samples_in(batch) * self._course.world.size
        step, settings = trainer.global_step, self._course.settings
        is_last = step == self._course.steps.stop
        if step % settings.log_every == 0 or is_last:
            self._report(step)
        self.has_stopped = self._training.agreement.any_of(self._stop.is_set)
        if step in self._course.kept:
            save_weights(trainer, self._course.kept[step], self._training, self._course.fingerprint)
        if step % self._spacing == 0 or is_last or self.has_stopped:
            save_state(trainer, self._course.last_checkpoint)
        trainer.should_stop |= self.has_stopped

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Mark the checkpoint as one of this run."""
        del trainer, pl_module
        mark(checkpoint, self._course.fingerprint)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the event file."""
        del trainer, pl_module
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the event file."""
        del trainer, pl_module, exception
        self._close()

    def _report(self, step: int) -> None:
        """Publish the means since the last report."""
        means = {name: value / self._count for name, value in self._sums.items()}
        speed = self._samples / max(time.monotonic() - self._started, 1e-6)
        samples = self._training.samples_name
        details = {name: round(value, 5) for name, value in means.items()}
        details |= {"learning_rate": float(f"{self._learning_rate:.6g}"), f"{samples}_per_second": round(speed, 2)}
        self._log.report(Stage.TRAIN, step, self._course.steps.stop, details)
        if self._events is not None:
            for name, value in means.items():
                is_part = name in self._training.weights
                self._events.add_scalar(f"loss/{name}" if is_part else name, value, step)
            self._events.add_scalar("learning rate", self._learning_rate, step)
            self._events.add_scalar(f"{samples} per second", speed, step)
            self._events.flush()
        self._forget()

    def _forget(self) -> None:
        """Begin a new mean."""
        self._sums: dict[str, float] = {}
        self._count = self._samples = 0
        self._started = time.monotonic()

    def _close(self) -> None:
        if self._events is not None:
            self._events.close()
