"""The run: prepares the cases, trains, writes a checkpoint every few steps, and goes on where it was stopped."""

import logging
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from lens_engine.detector.assembly import LensDetector
from lens_engine.errors import CheckpointError
from lens_training.allocator import keep_freed_memory
from lens_training.batches import BatchMaker, BatchStream
from lens_training.datasets.case import TrainingSet
from lens_training.datasets.planes import PlaneCache
from lens_training.module import DetectorTraining
from lens_training.progress import ProgressLog, Stage
from lens_training.recipe import Recipe
from lens_training.sampling import BatchPlan
from lens_training.stopping import StopSignal

LAST_CHECKPOINT = "last.ckpt"
LOG_FILE = "log.jsonl"
_FINGERPRINT = "lens_fingerprint"
_GIB = 2**30


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What is trained, how, and where.

    Attributes
    ----------
    fingerprint
        Of everything that decides the result; a run resumes only what has the same.
    folder
        Holds `last.ckpt` and the log; must exist.
    """

    training_set: TrainingSet
    recipe: Recipe
    seed: int
    fingerprint: str
    folder: Path


def fit(model: LensDetector, run: Run, log: ProgressLog, stop: StopSignal, *, resume: bool = False) -> int:
    """Train the model in place and return how many steps the whole run has.

    Parameters
    ----------
    resume
        Go on at the step of `last.ckpt`; from the beginning where there is none.

    Raises
    ------
    TrainingStoppedError
        If the process was asked to end; `last.ckpt` has the state then.
    TrainingError
        If the loss is not finite.
    CheckpointError
        If `last.ckpt` belongs to another run.
    ProjectError
        If the training set holds nothing to learn from.
    """
    keep_freed_memory()
    if run.recipe.threads is not None:
        torch.set_num_threads(run.recipe.threads)
    plan = BatchPlan(run.training_set, run.recipe.sampling, run.seed)
    steps = run.recipe.steps_in(plan.batches_per_epoch)
    last = run.folder / LAST_CHECKPOINT
    first_step = _step_of(last, run.fingerprint) if resume and last.exists() else 0
    if first_step >= steps:
        state = torch.load(last, weights_only=True, map_location="cpu")["state_dict"]
        model.load_state_dict({name.removeprefix("model."): value for name, value in state.items()})
        model.eval()
        return steps
    cache = PlaneCache(run.training_set.cases, model.config, int(run.recipe.sampling.cache_gib * _GIB))
    _prepare(cache, plan, log, stop)
    maker = BatchMaker(run.training_set, cache, plan, model.config, run.recipe.augmentation, run.seed)
    watch = _Watch(run, steps, log, stop)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = Trainer(
        accelerator="auto",
        devices=1,
        max_steps=steps,
        max_epochs=-1,
        gradient_clip_val=run.recipe.schedule.gradient_clip,
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=run.folder,
    )
    trainer.fit(
        DetectorTraining(model, run.recipe, steps, run.seed).train(),
        DataLoader(BatchStream(maker, first_step, steps), batch_size=None),
        ckpt_path=last if first_step else None,
        weights_only=True,
    )
    stop.check()
    model.eval()
    return steps


class _Watch(Callback):
    """Reports progress, writes `last.ckpt`, and ends the training when asked to."""

    def __init__(self, run: Run, steps: int, log: ProgressLog, stop: StopSignal) -> None:
        self._run = run
        self._steps = steps
        self._log = log
        self._stop = stop
        self._sums: dict[str, float] = {}
        self._count = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take SIGTERM back from Lightning, which would end without our checkpoint."""
        del trainer, pl_module
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            self._stop.listen()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Mark the checkpoint as one of this run."""
        del trainer, pl_module
        checkpoint[_FINGERPRINT] = self._run.fingerprint

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count, log, save."""
        del outputs, batch, batch_idx
        step = trainer.global_step
        if isinstance(pl_module, DetectorTraining):
            for name, value in pl_module.latest.items():
                self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        recipe = self._run.recipe
        if step % recipe.log_every == 0 or step == self._steps:
            means = {name: round(value / self._count, 5) for name, value in self._sums.items()}
            self._log.report(Stage.TRAIN, step, self._steps, means)
            self._sums, self._count = {}, 0
        if self._stop.is_set or step % recipe.checkpoint_every == 0 or step == self._steps:
            _save(trainer, self._run.folder / LAST_CHECKPOINT)
        if self._stop.is_set:
            trainer.should_stop = True


def _save(trainer: Trainer, path: Path) -> None:
    """Write the state so that the file is always a complete one."""
    temporary = path.with_name(f".{path.name}.part")
    trainer.save_checkpoint(temporary)
    temporary.replace(path)


def _step_of(path: Path, fingerprint: str) -> int:
    state = torch.load(path, weights_only=True, map_location="cpu")
    if state.get(_FINGERPRINT) != fingerprint:
        raise CheckpointError(
            f"{path} belongs to another run",
            "The labels, recipe, steps, seed and initial weights must be those it was started with",
            "Start without --resume, or in another folder",
        )
    return int(state["global_step"])


def _prepare(cache: PlaneCache, plan: BatchPlan, log: ProgressLog, stop: StopSignal) -> None:
    """Read the cases ahead, as many as the cache holds."""
    numbers = plan.cases_in_use
    for done, number in enumerate(numbers):
        stop.check()
        log.report(Stage.PREPARE, done, len(numbers))
        if cache.is_full:
            break
        cache.planes(number)
    log.report(Stage.PREPARE, len(numbers), len(numbers))
