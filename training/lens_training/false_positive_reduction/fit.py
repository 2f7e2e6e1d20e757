"""The training of a false-positive reduction: finds, sorts and cuts patches, learns, and goes on where it stopped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from lens_engine.detector.checkpoints.published_weights import read_state_dict
from lens_engine.detector.false_positive_reduction.config import FprConfig
from lens_engine.detector.false_positive_reduction.inflation import inflate
from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_engine.errors import CheckpointError
from lens_engine.io.atomic_files import remove_parts
from lens_engine.jobs.names import LAST_CHECKPOINT
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
from lens_training.running.course import Course, RunSettings
from lens_training.running.last_checkpoint import steps_done, weights_of
from lens_training.running.progress import ProgressLog
from lens_training.running.runner import Reports, train
from lens_training.running.stopping import StopSignal

_GIB = 2**30


@dataclass(frozen=True, slots=True, eq=False)
class FprRun:
    """What is trained, how, and where.

    Attributes
    ----------
    fingerprint
        Digest of everything that decides the result, the detector among it; a run resumes only what has the same.
    folder
        Holds the samples, their patches, `last.ckpt` and event files; must exist.
    tensorboard, threads
        As in `RunSettings`.
    """

    training_set: TrainingSet
    recipe: FprRecipe
    seed: int
    fingerprint: str
    folder: Path
    tensorboard: bool = False
    threads: int | None = None

    @property
    def settings(self) -> RunSettings:
        """How its steps are done."""
        return RunSettings(
            precision=self.recipe.precision,
            log_every=self.recipe.log_every,
            checkpoint_every=self.recipe.checkpoint_every,
            tensorboard=self.tensorboard,
            threads=self.threads,
        )


@dataclass(frozen=True, slots=True)
class FprOutcome:
    """What a run did.

    Attributes
    ----------
    steps
        How many steps the whole run has.
    counts
        As in `Collection.counts`.
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
    """Train the network in place on what `find` finds on the training scans, in this process alone.

    Parameters
    ----------
    resume
        Go on where the folder says; from the beginning where it says nothing.

    Raises
    ------
    TrainingStoppedError
        If the process was asked to end; the folder has everything to go on.
    TrainingError
        For the reasons that `lens_training.running.runner.train` has.
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
    course = Course(range(steps_done(last, run.fingerprint), plan.steps), run.folder, run.fingerprint, run.settings)
    if course.steps:
        records = _patches(run, samples, network.config, Reports(log, stop))
        _train(network, PatchBatches(records, samples, plan), run.recipe, course, Reports(log, stop))
        del records
        (run.folder / PATCHES_FILE).unlink()  # may be tens of gigabytes
    else:
        network.load_state_dict(weights_of(last, "network"))
    network.eval()
    return FprOutcome(plan.steps, collection.counts)


def _patches(run: FprRun, samples: Sequence[Sample], config: FprConfig, reports: Reports) -> NDArray[np.void]:
    path = run.folder / PATCHES_FILE
    patches = open_patches(path, len(samples), config)
    if patches is None:
        remove_parts(path)
        write_patches(path, run.training_set.cases, samples, config, reports.log, reports.stop)
        patches = open_patches(path, len(samples), config)
    if patches is None:
        raise CheckpointError(
            f"{path} has another size than it was written with", "An undisturbed folder is needed", "Start again"
        )
    return patches


def _train(network: FprNetwork, batches: PatchBatches, recipe: FprRecipe, course: Course, reports: Reports) -> None:
    loader = DataLoader(batches, batch_size=None, sampler=BatchNumbers(course.batch_numbers))
    train(FprTraining(network, recipe, course.steps.stop), loader, course, reports)
