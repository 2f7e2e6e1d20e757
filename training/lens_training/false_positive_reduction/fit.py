"""The training of a false-positive reduction: finds, sorts and cuts patches, learns, and goes on where it stopped."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
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
from lens_training.false_positive_reduction.case_lines import SAMPLES_FILE, CaseLines
from lens_training.false_positive_reduction.collecting import Collection, Find, collect
from lens_training.false_positive_reduction.module import FprTraining
from lens_training.false_positive_reduction.patch_file import PATCHES_FILE, PatchShelf, record_type
from lens_training.false_positive_reduction.sampling import PatchPlan, require_both_classes, surplus
from lens_training.recipes.false_positive_reduction import FprRecipe
from lens_training.running.allocator import keep_freed_memory
from lens_training.running.batch_numbers import BatchNumbers
from lens_training.running.course import Course, RunSettings
from lens_training.running.last_checkpoint import steps_done, weights_of
from lens_training.running.processes.agreement import Agreement
from lens_training.running.processes.world import ALONE, World
from lens_training.running.progress import ProgressLog
from lens_training.running.runner import Reports, connect, train
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
    world
        The processes that learn together; each has a batch of its own in each step.
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
    world: World = ALONE
    unreadable_share: float = 0.0

    @property
    def full_fingerprint(self) -> str:
        """Equal for runs that give the same weights."""
        return f"{self.fingerprint} in {self.world.size}"

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
    """The samples that are learnt from, by their numbers in the collection, and where their patches are."""

    collection: Collection
    numbers: list[int]
    shelf: PatchShelf
    plan: PatchPlan
    course: Course

    @property
    def stored(self) -> StoredPatches:
        """The patches of the samples."""
        return StoredPatches(self.shelf.records(), self.shelf.rows(self.collection.samples)[self.numbers])


def fit_network(
    network: FprNetwork, run: FprRun, find: Find, log: ProgressLog, stop: StopSignal, *, resume: bool = False
) -> FprOutcome:
    """Train the network in place on what `find` finds on the training scans.

    With several processes each of them calls this with the same arguments; they share the scans, and get the same
    weights.

    Parameters
    ----------
    resume
        Go on where the folder says; from the beginning where it says nothing.

    Raises
    ------
    TrainingStoppedError
        If a process was asked to end; the folder has everything to go on.
    EndedElsewhereError, TrainingError, ConfigError
        For the reasons that `lens_training.running.runner.train` has.
    CheckpointError
        If the folder belongs to another run.
    ProjectError
        If there is no lesion among the findings, or nothing to tell it from.
    """
    keep_freed_memory()
    agreement, reports = connect(run.world), Reports(log, stop)
    agreement.by_first(partial(_forget_earlier, run.folder, resume=resume))
    choose = partial(_choose, run, network.config, find, agreement, reports)
    chosen = agreement.together(choose)
    course, shelf = chosen.course, chosen.shelf
    if course.steps and agreement.any_of(not shelf.is_filled):  # somebody has taken the patches away
        agreement.by_first((run.folder / SAMPLES_FILE).unlink)
        chosen = agreement.together(choose)
    if course.steps:
        samples = [chosen.collection.samples[number] for number in chosen.numbers]
        training = FprTraining(network, run.recipe, course.steps.stop, run.precision)
        _train(training, PatchBatches(chosen.stored, samples, chosen.plan), course, reports)
    else:
        network.load_state_dict(weights_of(course.last_checkpoint, "network"))
    agreement.by_first(partial(shelf.path.unlink, missing_ok=True))  # may be tens of gigabytes
    network.eval()
    return FprOutcome(course.steps.stop, chosen.collection.counts)


def _forget_earlier(folder: Path, *, resume: bool) -> None:
    """Remove what an earlier run has left, unless it is to go on."""
    if not resume or not (folder / SAMPLES_FILE).exists():
        for name in (SAMPLES_FILE, PATCHES_FILE, LAST_CHECKPOINT):
            (folder / name).unlink(missing_ok=True)


def _choose(run: FprRun, config: FprConfig, find: Find, agreement: Agreement, reports: Reports) -> _Chosen:
    """Collect all samples, and decide which of them each step that is left shows."""
    most = int(run.recipe.patches_gib * _GIB) // record_type(config).itemsize
    shelf = PatchShelf(run.folder / PATCHES_FILE, config, most, run.seed)
    lines = CaseLines(run.folder, run.fingerprint, shelf)
    unreadable = UnreadableScans(len(run.training_set.cases), run.unreadable_share)
    agreement.by_first(partial(_try_unreadable_again, lines, run.folder))
    collection = collect(run.training_set, find, lines, unreadable, agreement, reports)
    require_both_classes([sample.meaning for sample in collection.samples])
    left_out = surplus(collection.samples, run.recipe, most, run.seed)
    numbers = [number for number in range(len(collection.samples)) if number not in left_out]
    plan = PatchPlan([collection.samples[number].meaning for number in numbers], run.recipe, run.seed)
    first = steps_done(run.folder / LAST_CHECKPOINT, run.full_fingerprint)
    steps = range(first, plan.steps_in(run.world.size))
    course = Course(steps, run.folder, run.full_fingerprint, run.settings, run.world)
    return _Chosen(collection, numbers, shelf, plan, course)


def _try_unreadable_again(lines: CaseLines, folder: Path) -> None:
    """Have scans that could not be read tried again, as long as no step was done without them."""
    if not (folder / LAST_CHECKPOINT).exists():
        lines.forget_unreadable()


def _train(training: FprTraining, batches: PatchBatches, course: Course, reports: Reports) -> None:
    loader = DataLoader(batches, batch_size=None, sampler=BatchNumbers(course.batch_numbers))
    train(training, loader, course, reports)
