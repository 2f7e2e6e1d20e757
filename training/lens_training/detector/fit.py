"""The run: prepares the cases, trains, writes a checkpoint every few steps, and goes on where it was stopped."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy

from lens_engine.detector.assembly import LensDetector
from lens_engine.errors import ConfigError, LensError
from lens_training.datasets.planes import PlaneCache
from lens_training.detector.batches import BatchMaker, batch_loader
from lens_training.detector.joint import JointTraining, memory_error
from lens_training.detector.run import Run
from lens_training.detector.sampling import BatchPlan
from lens_training.detector.watch import Watch
from lens_training.errors import EndedElsewhereError, TrainingError, TrainingStoppedError
from lens_training.recipes.recipe import Recipe
from lens_training.running.agreement import Agreement
from lens_training.running.allocator import keep_freed_memory
from lens_training.running.last_checkpoint import LAST_CHECKPOINT, step_of, weights_of
from lens_training.running.progress import ProgressLog, Stage
from lens_training.running.schedule import TrainingPrecision
from lens_training.running.stopping import StopSignal

LOG_FILE = "log.jsonl"
_GIB = 2**30


def fit(model: LensDetector, run: Run, log: ProgressLog, stop: StopSignal, *, resume: bool = False) -> int:
    """Train the model in place and return how many steps the whole run has.

    With several processes each of them calls this with the same arguments, and all get the same weights.

    Parameters
    ----------
    resume
        Go on at the step of `last.ckpt`; from the beginning where there is none.

    Raises
    ------
    TrainingStoppedError
        If a process was asked to end; `last.ckpt` has the state then.
    EndedElsewhereError
        In all processes but the first, if one of the errors here ended the run.
    TrainingError
        If the loss is not finite, or a process was lost.
    CheckpointError
        If `last.ckpt` belongs to another run.
    ConfigError
        If there are fewer GPUs than were asked for.
    ProjectError
        If the training set holds nothing to learn from.
    """
    keep_freed_memory()
    plan = BatchPlan(run.training_set, run.recipe.sampling, run.seed)
    steps = run.recipe.steps_in(plan.batches_per_epoch, run.world.size)
    last = run.folder / LAST_CHECKPOINT
    first_step = step_of(last, run.full_fingerprint) if resume and last.exists() else 0
    if first_step < steps:
        _train(model, run, plan, range(first_step, steps), _Reports(log, stop))
    else:
        model.load_state_dict(weights_of(last, "model"))
    model.eval()
    return steps


@dataclass(frozen=True, slots=True)
class _Reports:
    """Where progress goes to, and where the wish to stop comes from."""

    log: ProgressLog
    stop: StopSignal


class _Preparation(Callback):
    """What every process does once all are connected, and before the first step."""

    def __init__(self, run: Run, first_step: int, agreement: Agreement, prepare: Callable[[], None]) -> None:
        self._run = run
        self._first_step = first_step
        self._agreement = agreement
        self._prepare = prepare

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Connect the processes, compare what they are about to do, and read cases ahead."""
        del trainer, pl_module, stage
        if self._run.recipe.threads is not None:
            torch.set_num_threads(self._run.recipe.threads)  # Lightning has just set another number
        self._agreement.open()
        self._agreement.require_same(self._run.fingerprint, "labels, recipe, seed or initial weights")
        self._agreement.require_same(self._first_step, "step to go on from")
        failure: LensError | None = None
        try:
            self._prepare()
        except LensError as error:
            failure = error
        self._agreement.raise_first(failure)


def _train(model: LensDetector, run: Run, plan: BatchPlan, steps: range, reports: _Reports) -> None:
    """Train from the first to the last of `steps`."""
    world, recipe = run.world, run.recipe
    cache = PlaneCache(run.training_set.cases, int(recipe.sampling.cache_gib * _GIB))
    maker = BatchMaker(run.training_set, cache, plan, model.config, recipe.augmentation, run.seed)
    agreement = Agreement()
    preparation = _Preparation(run, steps.start, agreement, partial(_prepare, cache, plan, reports))
    watch = Watch(run, steps.stop, reports.log, reports.stop, agreement)
    trainer = _trainer(run, steps.stop, [preparation, watch])
    training = JointTraining(model, recipe, steps.stop, run.seed, agreement)
    numbers = range(steps.start * world.size + world.rank, steps.stop * world.size, world.size)
    try:
        trainer.fit(
            training.train(),
            batch_loader(maker, numbers, recipe.workers),
            ckpt_path=run.folder / LAST_CHECKPOINT if steps.start else None,
            weights_only=True,
        )
    except RuntimeError as error:
        explained = _explanation(error, recipe)
        if explained is None:
            raise
        raise explained from error
    if watch.has_stopped:
        kind = TrainingStoppedError if world.is_first else EndedElsewhereError
        raise kind("The training was stopped", "", "Start it again with --resume to go on")


def _trainer(run: Run, steps: int, callbacks: list[Callback]) -> Trainer:
    _quieten_lightning()
    world, precision = run.world, run.recipe.precision
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cuda" and world.devices > torch.cuda.device_count():
        raise ConfigError(
            f"{world.devices} GPUs of a node were asked for, and it has {torch.cuda.device_count()}",
            "One GPU for each process is needed",
            "Lower --devices, or the number of processes that torchrun or srun start",
        )
    plugins: list[Any] = [world.environment()]
    if precision is not TrainingPrecision.FP32:
        plugins.append(
            MixedPrecision("bf16-mixed" if precision is TrainingPrecision.BF16_MIXED else "16-mixed", accelerator)
        )
    # A step uses the layers of one expert only, and in another process of another one: without the search for unused
    # parameters every process would wait for gradients that never come.
    strategy = DDPStrategy(find_unused_parameters=True) if world.size > 1 else "auto"
    return Trainer(
        accelerator=accelerator,
        devices=world.devices,
        num_nodes=world.nodes,
        strategy=strategy,
        plugins=plugins,
        use_distributed_sampler=False,
        max_steps=steps,
        max_epochs=-1,
        gradient_clip_val=run.recipe.schedule.gradient_clip,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=run.folder,
    )


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


def _prepare(cache: PlaneCache, plan: BatchPlan, reports: _Reports) -> None:
    """Read the cases ahead, as many as the cache keeps."""
    numbers = plan.cases_in_use
    for done, number in enumerate(numbers):
        reports.stop.check()
        if cache.has_room_for(number):
            reports.log.report(Stage.PREPARE, done, len(numbers))
            cache.planes(number)
    reports.log.report(Stage.PREPARE, len(numbers), len(numbers))


def _explanation(error: RuntimeError, recipe: Recipe) -> LensError | None:
    """Return what an error of torch means where it is the system's or another process's doing."""
    if isinstance(error, torch.OutOfMemoryError):
        return memory_error(recipe)
    text = str(error)
    if "DataLoader worker" in text:
        return TrainingError(
            f"A process that prepares batches has ended ({text.splitlines()[0]})",
            "Memory and shared memory (/dev/shm) for all of them are needed",
            "Lower workers, or give the machine or container more of both, and start again with --resume",
        )
    if any(sign in text for sign in ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")):
        return TrainingError(
            "The connection to another process of the run was lost",
            "All processes must run to the end",
            "Look for what ended the other process, and start again with --resume",
        )
    return None
