"""The recipe of the shipped checkpoint: phantom patients in, a small LENS with a measured card out."""

import hashlib
import json
from pathlib import Path

import torch

from lens_engine.checkpoint_card import DEMO_NOTICE, CheckpointCard, TrainedOn
from lens_engine.detector.checkpoint import load_checkpoint, save_checkpoint
from lens_engine.errors import ConfigError
from lens_engine.phantom.patient import DATASETS, GENERATOR_VERSION, UNIVERSAL
from lens_training.datasets.case import Case, TrainingSet
from lens_training.datasets.phantoms import SCOPES, training_cases, validation_cases
from lens_training.fit import fit
from lens_training.initial import new_model
from lens_training.measuring import measure
from lens_training.progress import ProgressLog, Stage
from lens_training.recipe import PhantomRecipe, Recipe
from lens_training.run import Run
from lens_training.stopping import StopSignal


def make_demo_model(
    recipe: Recipe, seed: int, folder: Path, log: ProgressLog, stop: StopSignal, *, resume: bool = False
) -> CheckpointCard:
    """Make patients, train, measure on the validation patients as stored, and write weights and card to `folder`.

    Raises
    ------
    ConfigError
        If the recipe has no phantoms.
    TrainingStoppedError, TrainingError, CheckpointError
        As `lens_training.fit.fit`.
    """
    if recipe.phantoms is None:
        raise ConfigError(
            f"Recipe {recipe.name} brings no phantoms", "A recipe with a section 'phantoms'", "Use fit with a snapshot"
        )
    model = new_model(DATASETS, recipe.detector, seed)
    training = TrainingSet(_made(recipe.phantoms, log, stop), SCOPES, uses_unlabelled=False)
    fingerprint = hashlib.sha256(json.dumps([GENERATOR_VERSION, recipe.deciding_fields, seed]).encode()).hexdigest()
    steps = fit(model, Run(training, recipe, seed, fingerprint, folder), log, stop, resume=resume)
    card = CheckpointCard(trained_on=TrainedOn.PHANTOMS, notice=DEMO_NOTICE, recipe=recipe.name, steps=steps, seed=seed)
    # Measured after rounding to what is stored, so that the card tells the truth about the file.
    save_checkpoint(model, card, folder, dtype=torch.float16)
    stored, _ = load_checkpoint(folder)
    metrics = measure(stored, tuple(validation_cases(recipe.phantoms)), log, stop)
    return save_checkpoint(stored, card.model_copy(update={"metrics": metrics}), folder, dtype=torch.float16)


def _made(recipe: PhantomRecipe, log: ProgressLog, stop: StopSignal) -> tuple[Case, ...]:
    """Make all training cases, with progress."""
    made: list[Case] = []
    total = sum(recipe.patients(is_universal=name == UNIVERSAL) for name in DATASETS) * recipe.studies
    for case in training_cases(recipe):
        stop.check()
        log.report(Stage.PREPARE, len(made), total)
        made.append(case)
    return tuple(made)
