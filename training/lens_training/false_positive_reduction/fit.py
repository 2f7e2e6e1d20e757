"""The run: finds, sorts and cuts, trains, writes a checkpoint every few steps, and goes on where it was stopped."""

import logging
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from lens_engine.detector.checkpoints.published_weights import read_state_dict
from lens_engine.detector.false_positive_reduction.config import FprConfig
from lens_engine.detector.false_positive_reduction.inflation import inflate
from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_engine.errors import CheckpointError
from lens_training.datasets.case import TrainingSet
from lens_training.false_positive_reduction.batches import PatchBatches
from lens_training.false_positive_reduction.collecting import SAMPLES_FILE, Find, collect
from lens_training.false_positive_reduction.module import FprTraining
from lens_training.false_positive_reduction.patch_file import PATCHES_FILE, open_patches, record_type, write_patches
from lens_training.false_positive_reduction.samples import Sample
from lens_training.false_positive_reduction.sampling import PatchPlan, require_both_classes, without_surplus
from lens_training.recipes.false_positive_reduction import FprRecipe
from lens_training.running.allocator import keep_freed_memory
from lens_training.running.batch_numbers import BatchNumbers
from lens_training.running.last_checkpoint import LAST_CHECKPOINT, mark, save_state, step_of, weights_of
from lens_training.running.progress import ProgressLog, Stage
from lens_training.running.stopping import StopSignal

_GIB = 2**30


@dataclass(frozen=True, slots=True, eq=False)
class FprRun:
    """What is trained, how, and where.

    Attributes
    ----------
    fingerprint
        Of everything that decides the result, the detector among it; a run resumes only what has the same.
    folder
        Holds the samples, their patches and `last.ckpt`; must exist.
    """

    training_set: TrainingSet
    recipe: FprRecipe
    seed: int
    fingerprint: str
    folder: Path


@dataclass(frozen=True, slots=True)
class FprOutcome:
    """What a run did.

    Attributes
    ----------
    steps
        Of the whole run.
    counts
        See `Collection.counts`.
    """

    steps: int
    counts: Mapping[str, int]


def new_network(config: FprConfig, seed: int, resnet18: Path | None = None) -> FprNetwork:
    """Return an untrained network; equal seeds give equal weights.

    Parameters
    ----------
    resnet18
        Published 2D weights for the trunk.

    Raises
    ------
    CheckpointError
        If they cannot be read, or do not fit.
    """
    with torch.random.fork_rng(devices=[]):  # layers initialise themselves from the global generator
        torch.manual_seed(seed)
        network = FprNetwork(config)
    if resnet18 is not None:
        inflate(network, read_state_dict(resnet18, "ResNet-18"))
    return network


def fit_network(
    network: FprNetwork, run: FprRun, find: Find, log: ProgressLog, stop: StopSignal, *, resume: bool = False
) -> FprOutcome:
    """Train the network in place on what `find` finds on the training scans.

    Parameters
    ----------
    resume
        Go on where the folder says; from the beginning where it says nothing.

    Raises
    ------
    TrainingStoppedError
        If the process was asked to end; the folder has everything to go on.
    TrainingError
        If the loss is not finite, or the disk refuses.
    CheckpointError
        If the folder belongs to another run.
    ProjectError
        If there is no lesion among the findings, or nothing to tell it from.
    """
    keep_freed_memory()
    if not resume or not (run.folder / SAMPLES_FILE).exists():
        for name in (SAMPLES_FILE, PATCHES_FILE, LAST_CHECKPOINT):
            (run.folder / name).unlink(missing_ok=True)
    collection = collect(run.training_set, find, run.folder / SAMPLES_FILE, run.fingerprint, log, stop)
    require_both_classes([sample.meaning for sample in collection.samples])
    most = int(run.recipe.patches_gib * _GIB) // record_type(network.config).itemsize
    samples = without_surplus(collection.samples, run.recipe, most, run.seed)
    plan = PatchPlan([sample.meaning for sample in samples], run.recipe, run.seed)
    last = run.folder / LAST_CHECKPOINT
    first_step = step_of(last, run.fingerprint) if last.exists() else 0
    if first_step < plan.steps:
        records = _patches(run, samples, network.config, log, stop)
        batches = PatchBatches(records, samples, plan)
        _train(network, run, batches, range(first_step, plan.steps), _Watch(run, plan.steps, log, stop))
        stop.check()
        del records, batches
        (run.folder / PATCHES_FILE).unlink()  # may be tens of gigabytes
    else:
        network.load_state_dict(weights_of(last, "network"))
    network.eval()
    return FprOutcome(plan.steps, collection.counts)


class _Watch(Callback):
    """Reports progress, writes `last.ckpt`, and ends the training when asked to."""

    def __init__(self, run: FprRun, steps: int, log: ProgressLog, stop: StopSignal) -> None:
        self._run = run
        self._steps = steps
        self._log = log
        self._stop = stop
        self._reports: list[dict[str, float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take SIGTERM back from Lightning, which would end without our checkpoint."""
        del trainer, pl_module
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            self._stop.listen()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Mark the checkpoint as one of this run."""
        del trainer, pl_module
        mark(checkpoint, self._run.fingerprint)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log, save, stop."""
        del outputs, batch, batch_idx
        step = trainer.global_step
        if isinstance(pl_module, FprTraining):
            self._reports.append(pl_module.latest)
        if step % self._run.recipe.log_every == 0 or step == self._steps:
            means = {name: float(np.mean([report[name] for report in self._reports])) for name in self._reports[0]}
            self._log.report(Stage.TRAIN, step, self._steps, {name: round(value, 5) for name, value in means.items()})
            self._reports = []
        if self._stop.is_set or step % self._run.recipe.checkpoint_every == 0 or step == self._steps:
            save_state(trainer, self._run.folder / LAST_CHECKPOINT)
        if self._stop.is_set:
            trainer.should_stop = True


def _patches(
    run: FprRun, samples: Sequence[Sample], config: FprConfig, log: ProgressLog, stop: StopSignal
) -> NDArray[np.void]:
    path = run.folder / PATCHES_FILE
    patches = open_patches(path, len(samples), config)
    if patches is None:
        write_patches(path, run.training_set.cases, samples, config, log, stop)
        patches = open_patches(path, len(samples), config)
    if patches is None:
        raise CheckpointError(
            f"{path} has another size than it was written with", "An undisturbed folder is needed", "Start again"
        )
    return patches


def _train(network: FprNetwork, run: FprRun, batches: PatchBatches, steps: range, watch: _Watch) -> None:
    """Train from the first to the last of `steps`."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = Trainer(
        accelerator="auto",
        devices=1,
        precision=run.recipe.precision.value,
        max_steps=steps.stop,
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
        FprTraining(network, run.recipe, steps.stop).train(),
        DataLoader(batches, batch_size=None, sampler=BatchNumbers(steps)),
        ckpt_path=run.folder / LAST_CHECKPOINT if steps.start else None,
        weights_only=True,
    )
