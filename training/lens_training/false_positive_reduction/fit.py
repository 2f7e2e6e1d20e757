"""The training of a false-positive reduction: finds, sorts and cuts patches, learns, and goes on where it stopped."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader

from lens_engine.detector.checkpoints.published_weights import read_state_dict
from lens_engine.detector.false_positive_reduction.config import FprConfig
from lens_engine.detector.false_positive_reduction.inflation import inflate
from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_engine.jobs.names import LAST_CHECKPOINT
from lens_training.datasets.case import TrainingSet
from lens_training.datasets.unreadable import UnreadableScans
from lens_training.false_positive_reduction.batches import PatchBatches, StoredPatches
from lens_training.false_positive_reduction.collecting import SAMPLES_FILE, Collection, Find, SamplesFile, collect
from lens_training.false_positive_reduction.module import FprTraining
from lens_training.false_positive_reduction.patch_file import PATCHES_FILE, PatchShelf, record_type
from lens_training.false_positive_reduction.sampling import PatchPlan, require_both_classes, surplus
from lens_training.recipes.false_positive_reduction import FprRecipe
from lens_training.running.allocator import keep_freed_memory
from lens_training.running.batch_numbers import BatchNumbers
from lens_training.running.course import Course, RunSettings
from lens_training.running.last_checkpoint import steps_done, weights_of
from lens_training.running.progress import ProgressLog
from lens_training.running.runner import Reports, train
from lens_training.running.schedule import TrainingPrecision
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
    precision, tensorboard, threads
        As in `RunSettings`: those of the detector's training.
    unreadable_share
        Of the scans that may turn out to be unreadable and are left out.
    """

    training_set: TrainingSet
    recipe: FprRecipe
    seed: int
    fingerprint: str
    folder: Path
    precision: TrainingPrecision = TrainingPrecision.FP32
    tensorboard: bool = False
    threads: int | None = None
    unreadable_share: float = 0.0

    @property
    def settings(self) -> RunSettings:
        """How its steps are done."""
        return RunSettings(
            precision=self.precision,
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


class _Chosen(NamedTuple):
    """The samples that are learnt from, by their numbers in the collection."""

    collection: Collection
    numbers: list[int]
    plan: PatchPlan
    course: Course


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
    most = int(run.recipe.patches_gib * _GIB) // record_type(network.config).itemsize
    shelf, reports = PatchShelf(run.folder / PATCHES_FILE, network.config, most, run.seed), Reports(log, stop)
    chosen = _choose(run, find, shelf, most, reports)
    if chosen.course.steps and not shelf.is_filled:  # somebody has taken the patches away
        (run.folder / SAMPLES_FILE).unlink()
        shelf.clear()
        chosen = _choose(run, find, shelf, most, reports)
    course, plan = chosen.course, chosen.plan
    if course.steps:
        samples = chosen.collection.samples
        stored = StoredPatches(shelf.records(), shelf.rows(samples)[chosen.numbers])
        training = FprTraining(network, run.recipe, course.steps.stop, run.precision)
        _train(training, PatchBatches(stored, [samples[number] for number in chosen.numbers], plan), course, reports)
        del stored
        shelf.path.unlink()  # may be tens of gigabytes
    else:
        network.load_state_dict(weights_of(course.last_checkpoint, "network"))
    network.eval()
    return FprOutcome(plan.steps, chosen.collection.counts)


def _choose(run: FprRun, find: Find, shelf: PatchShelf, most: int, reports: Reports) -> _Chosen:
    """Fill the shelf, and decide which samples each step that is left shows."""
    file = SamplesFile(run.folder / SAMPLES_FILE, run.fingerprint)
    unreadable = UnreadableScans(len(run.training_set.cases), run.unreadable_share)
    collection = collect(run.training_set, find, file, shelf, unreadable, reports)
    require_both_classes([sample.meaning for sample in collection.samples])
    left_out = surplus(collection.samples, run.recipe, most, run.seed)
    numbers = [number for number in range(len(collection.samples)) if number not in left_out]
    plan = PatchPlan([collection.samples[number].meaning for number in numbers], run.recipe, run.seed)
    first = steps_done(run.folder / LAST_CHECKPOINT, run.fingerprint)
    course = Course(range(first, plan.steps), run.folder, run.fingerprint, run.settings)
    return _Chosen(collection, numbers, plan, course)


def _train(training: FprTraining, batches: PatchBatches, course: Course, reports: Reports) -> None:
    loader = DataLoader(batches, batch_size=None, sampler=BatchNumbers(course.batch_numbers))
    train(training, loader, course, reports)
