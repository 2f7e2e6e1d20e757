"""The training of a lesion embedding: cuts patches, learns, and goes on where it stopped."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from lens_engine.io.atomic_files import remove_parts
from lens_engine.jobs.names import LAST_CHECKPOINT
from lens_engine.lesion_embedding.config import EmbeddingConfig
from lens_engine.lesion_embedding.network import EmbeddingNetwork
from lens_training.lesion_embedding.batches import LookBatches, LookPlan
from lens_training.lesion_embedding.labels import Ontology
from lens_training.lesion_embedding.looks import ScanLooks
from lens_training.lesion_embedding.losses import term_weights
from lens_training.lesion_embedding.module import EmbeddingTraining
from lens_training.lesion_embedding.patch_file import (
    LOOKS_FILE,
    PATCHES_FILE,
    known_looks,
    open_patches,
    write_patches,
)
from lens_training.recipes.lesion_embedding import EmbeddingRecipe
from lens_training.running.allocator import keep_freed_memory
from lens_training.running.batch_numbers import BatchNumbers
from lens_training.running.course import Course, RunSettings
from lens_training.running.last_checkpoint import steps_done, weights_of
from lens_training.running.runner import Reports, train


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingRun:
    """What is trained, how, and where.

    Attributes
    ----------
    scans
        The training scans, read once.
    scan_count
        How many they are.
    fingerprint
        Digest of everything that decides the result; a run resumes only what has the same.
    folder
        Holds the patches and `last.ckpt`; must exist.
    """

    scans: Iterable[ScanLooks]
    scan_count: int
    ontology: Ontology
    recipe: EmbeddingRecipe
    seed: int
    fingerprint: str
    folder: Path

    @property
    def settings(self) -> RunSettings:
        """How its steps are done."""
        return RunSettings(
            precision=self.recipe.precision,
            log_every=self.recipe.log_every,
            checkpoint_every=self.recipe.checkpoint_every,
            threads=self.recipe.threads,
        )


def new_embedding(config: EmbeddingConfig, seed: int) -> EmbeddingNetwork:
    """Return an untrained network; equal seeds give equal weights."""
    with torch.random.fork_rng(devices=[]):  # layers initialise themselves from the global generator
        torch.manual_seed(seed)
        return EmbeddingNetwork(config)


def fit_embedding(network: EmbeddingNetwork, run: EmbeddingRun, reports: Reports, *, resume: bool = False) -> int:
    """Train the network in place, in this process alone, and return how many steps the whole run has.

    Parameters
    ----------
    resume
        Go on where the folder says; from the beginning where it says nothing.

    Raises
    ------
    TrainingStoppedError
        If the process was asked to end; the folder has everything to go on.
    TrainingError
        If the lesions do not fill a batch, or for the reasons that `lens_training.running.runner.train` has.
    CheckpointError
        If the folder belongs to another run.
    """
    keep_freed_memory()
    last = run.folder / LAST_CHECKPOINT
    if not resume:
        for name in (LOOKS_FILE, PATCHES_FILE, LAST_CHECKPOINT):
            (run.folder / name).unlink(missing_ok=True)
    steps_before = steps_done(last, run.fingerprint)
    looks = known_looks(run.folder, network.config, run.fingerprint)
    if looks is None:
        remove_parts(run.folder / PATCHES_FILE)
        looks = write_patches(run.folder, run.scans, run.scan_count, network.config, run.fingerprint, reports)
    records = open_patches(run.folder, network.config, len(looks))
    plan = LookPlan(looks, run.recipe, run.seed)
    course = Course(range(steps_before, plan.steps), run.folder, run.fingerprint, run.settings)
    if course.steps:
        weights = term_weights(looks, network.config.terms, run.recipe.largest_positive_weight)
        training = EmbeddingTraining(network, run.recipe, weights, run.seed, plan.steps)
        batches = LookBatches(records, looks, run.ontology, plan)
        loader = DataLoader(batches, batch_size=None, sampler=BatchNumbers(course.batch_numbers))
        train(training, loader, course, reports)
    else:
        network.load_state_dict(weights_of(last, "network"))
    network.eval()
    return plan.steps
