"""The one loop that trains every network: starts the processes' steps, watches them, and says why they ended."""

import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy

from lens_engine.errors import ConfigError, LensError
from lens_engine.io.atomic_files import remove_parts
from lens_training.errors import EndedElsewhereError, TrainingInterruptedError, TrainingStoppedError
from lens_training.running.course import Course
from lens_training.running.processes.agreement import Agreement, lost_connection
from lens_training.running.processes.joint import JointTraining
from lens_training.running.processes.world import World
from lens_training.running.progress import ProgressLog
from lens_training.running.schedule import TrainingPrecision
from lens_training.running.stopping import StopSignal
from lens_training.running.watch import Watch


@dataclass(frozen=True, slots=True)
class Reports:
    """Where progress goes to, and where the wish to stop comes from."""

    log: ProgressLog
    stop: StopSignal


def connect(world: World) -> Agreement:
    """Return how the processes of a run decide together outside of its steps; each of them has to ask for it.

    They are connected then; a training takes over the connection, or has made it before.

    Raises
    ------
    ConfigError
        If there are fewer GPUs than were asked for.
    """
    agreement = Agreement()
    if world.size > 1:
        _trainer_on(world).strategy.setup_environment()
        agreement.open()
    return agreement


def _nothing() -> None:
    """Prepare nothing."""


def train(
    training: JointTraining[Any],
    batches: Iterable[Any],
    course: Course,
    reports: Reports,
    prepare: Callable[[], None] = _nothing,
) -> None:
    """Do the steps of a run, from `last.ckpt` where they are not its first ones.

    Parameters
    ----------
    batches
        The batches of `Course.batch_numbers`, in order. A `LensError` in place of one ends the run.
    prepare
        Called in every process once all are connected, and before the first step.

    Raises
    ------
    TrainingStoppedError
        If a process was asked to end; `last.ckpt` has the state then.
    EndedElsewhereError
        In all processes but the first, if one of the errors here ended the run.
    TrainingError
        If a loss is not finite, or the memory of the GPU is too small.
    TrainingInterruptedError
        If a process was lost, or memory or disk are too small.
    ConfigError
        If there are fewer GPUs than were asked for.
    LensError
        What `prepare` raises, and what came in place of a batch.
    """
    if course.world.is_first:
        remove_parts(course.last_checkpoint)
    watch = Watch(training, course, reports.log, reports.stop)
    trainer = _trainer(training, course, [_Preparation(training, course, prepare), watch])
    try:
        trainer.fit(
            training.train(),
            batches,
            ckpt_path=course.last_checkpoint if course.steps.start else None,
            weights_only=True,
        )
    except RuntimeError as error:
        explained = _explanation(error, training)
        if explained is None:
            raise
        raise explained from error
    if watch.has_stopped:
        kind = TrainingStoppedError if course.world.is_first else EndedElsewhereError
        raise kind("The training was stopped", "", "Start it again with --resume to go on")


class _Preparation(Callback):
    """What every process does once all are connected, and before the first step."""

    def __init__(self, training: JointTraining[Any], course: Course, prepare: Callable[[], None]) -> None:
        self._agreement = training.agreement
        self._course = course
        self._prepare = prepare

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Connect the processes, compare what they are about to do, and prepare it."""
        del trainer, pl_module, stage
        if self._course.settings.threads is not None:
            torch.set_num_threads(self._course.settings.threads)  # Lightning has just set another number
        if self._course.world.size > 1:  # connections of an earlier run are still there when one process goes on alone
            self._agreement.open()
        self._agreement.require_same(self._course.fingerprint, "labels, recipe, seed or initial weights")
        self._agreement.require_same(self._course.steps.start, "step to go on from")
        self._agreement.together(self._prepare)


def _trainer(training: JointTraining[Any], course: Course, callbacks: list[Callback]) -> Trainer:
    precision, plugins = course.settings.precision, list[Any]()
    if precision is not TrainingPrecision.FP32:
        plugins.append(
            MixedPrecision("bf16-mixed" if precision is TrainingPrecision.BF16_MIXED else "16-mixed", _accelerator())
        )
    return _trainer_on(
        course.world,
        plugins,
        skips_layers=training.skips_layers,
        max_steps=course.steps.stop,
        callbacks=callbacks,
        default_root_dir=course.folder,
    )


def _trainer_on(world: World, plugins: Sequence[Any] = (), *, skips_layers: bool = False, **options: Any) -> Trainer:
    """Return a trainer on the devices of a run."""
    _quieten_lightning()
    accelerator = _accelerator()
    if accelerator == "cuda" and world.devices > torch.cuda.device_count():
        raise ConfigError(
            f"{world.devices} GPUs of a node were asked for, and it has {torch.cuda.device_count()}",
            "One GPU for each process is needed",
            "Ask for fewer, also where torchrun or srun start the processes",
        )
    # Where layers are skipped every process would wait for gradients that never come, without the search for them.
    strategy = DDPStrategy(find_unused_parameters=skips_layers) if world.size > 1 else "auto"
    return Trainer(
        accelerator=accelerator,
        devices=world.devices,
        num_nodes=world.nodes,
        strategy=strategy,
        plugins=[world.environment(), *plugins],
        use_distributed_sampler=False,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def _accelerator() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _quieten_lightning() -> None:
    """Keep what Lightning says to its developers from people and from the logs of jobs."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Batches are numbered without an end, on purpose, and workers are the user's choice.
    warnings.filterwarnings("ignore", category=PossibleUserWarning)
    warnings.filterwarnings("ignore", category=FutureWarning, module="lightning")
    # Gradients of 1x1 convolutions in mixed precision come in another layout that means the same.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    # The first step of half precision is skipped on purpose while its scale is too large.
    warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")


def _explanation(error: RuntimeError, training: JointTraining[Any]) -> LensError | None:
    """Return what an error of torch means where it is the system's or another process's doing."""
    if isinstance(error, torch.OutOfMemoryError):
        return training.memory_error()
    text = str(error)
    if "DataLoader worker" in text:
        return TrainingInterruptedError(
            f"A process that prepares batches has ended ({text.splitlines()[0]})",
            "Memory and shared memory (/dev/shm) for all of them are needed",
            "Lower workers, or give the machine or container more of both",
        )
    return lost_connection(error)
