"""What a run leaves in its folder besides weights: what it was (`recipe.yaml`, `run.json`), to be measured later.

A folder belongs to one recipe: another one, or the same with other fields that decide the weights, is refused before
anything in it changes.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lens_engine.checkpoint_card import CARD_NAME, read_card
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.detector.false_positive_reduction.checkpoint import load_network
from lens_engine.detector.inference.whole_volume import InferencePrecision, InferenceSettings
from lens_engine.errors import CheckpointError, ConfigError
from lens_engine.io.atomic_files import write_text_atomically
from lens_engine.jobs.names import LAST_CHECKPOINT
from lens_engine.model_folder import REDUCTION_NAME
from lens_training.errors import TrainingInterruptedError
from lens_training.recipes.files import RECIPE_FILE, read_fields, stored_fields
from lens_training.recipes.listing import recipe_text
from lens_training.recipes.mining import ROUND_NAMES
from lens_training.recipes.recipe import MeasuredPart, Recipe
from lens_training.reproduction.data import PHANTOM
from lens_training.reproduction.detector_stage import RecipeRun, compute_device, epoch_folders
from lens_training.reproduction.measuring.part import Networks
from lens_training.reproduction.measuring.predictions import PREDICTIONS_FOLDER
from lens_training.reproduction.measuring.results import remove_results
from lens_training.running.processes.world import ALONE, World

RUN_FILE = "run.json"


class StoredRun(BaseModel):
    """What a user decided beside the recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    """`PHANTOM`, or the folder of the data sets."""
    seed: int
    inference: InferencePrecision


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What is not as it was when a run was stored; None keeps that.

    Attributes
    ----------
    data
        Where the data sets lie.
    cache
        What keeps what masks and headers said.
    """

    data: str | None = None
    inference: InferencePrecision | None = None
    cache: Path | None = None


def check_folder(run: RecipeRun, *, resume: bool) -> None:
    """Refuse a folder that holds another run; it stays as it is.

    Raises
    ------
    ConfigError
        If it belongs to another recipe, or is to go on with a changed one.
    """
    stored = stored_fields(run.folder, run.recipe.name)
    changed = list(_differences(json.loads(run.recipe.deciding_fields), stored)) if resume else []
    if changed:
        raise ConfigError(
            f"{run.folder} belongs to another run: it was started with other values of {', '.join(changed)}",
            "A run goes on with the recipe that it was started with",
            "Give the same options again, --anew instead of --resume to begin anew, or another folder with --out",
        )


def forget_earlier_run(folder: Path) -> None:
    """Make an earlier run in a folder count as not there: what it has learnt and found, and the results of every part.

    How often the test part was read stays.

    Raises
    ------
    TrainingInterruptedError
        If the disk refuses.
    """
    stages = (PREDICTIONS_FOLDER, REDUCTION_NAME, *ROUND_NAMES)
    try:
        for name in (CARD_NAME, LAST_CHECKPOINT):
            (folder / name).unlink(missing_ok=True)
        for place in (folder, *(folder / part for part in MeasuredPart)):
            remove_results(place)
        for stage in (*(folder / name for name in stages), *epoch_folders(folder)):
            if stage.is_dir():
                shutil.rmtree(stage)
    except OSError as error:
        raise TrainingInterruptedError(
            f"What an earlier run has left in {folder} cannot be removed: {error.strerror or error}",
            "A run that begins anew learns and measures anew",
            "Allow it to write there, or choose another folder with --out",
        ) from error


def store_run(run: RecipeRun) -> None:
    """Write what a run is."""
    source = (
        run.source if run.source == PHANTOM else str(Path(run.source).absolute())
    )  # a link stays one: listings are kept by path
    stored = StoredRun(data=source, seed=run.seed, inference=run.inference.precision)
    write_text_atomically(run.folder / RECIPE_FILE, recipe_text(run.recipe))
    write_text_atomically(run.folder / RUN_FILE, stored.model_dump_json(indent=1) + "\n")


def load_run(folder: Path, elsewhere: Elsewhere, world: World = ALONE) -> RecipeRun:
    """Return the run that a folder holds.

    Raises
    ------
    ConfigError
        If it holds none, one of another version, or a sweep.
    """
    if not (folder / RECIPE_FILE).is_file() or not (folder / RUN_FILE).is_file():
        raise ConfigError(
            f"{folder} has no {RECIPE_FILE} with a {RUN_FILE}",
            "The folder that 'lens recipe run' has left",
            "Correct the path, or run the recipe",
        )
    try:
        recipe = Recipe.model_validate(read_fields(folder / RECIPE_FILE))
        stored = StoredRun.model_validate_json((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise ConfigError(
            f"What {folder} says about its run cannot be read ({error})",
            f"{RECIPE_FILE} and {RUN_FILE} as this version writes them",
            "Restore both files, or run the recipe again",
        ) from error
    if recipe.sweep is not None:
        points = ", ".join(recipe.points)
        raise ConfigError(f"{folder} holds a sweep", "The folder of one run", f"Give that of a point: {points}")
    if elsewhere.cache is not None:
        recipe = recipe.model_copy(update={"reading": recipe.reading.model_copy(update={"cache": elsewhere.cache})})
    return RecipeRun(
        recipe=recipe,
        source=elsewhere.data or stored.data,
        folder=folder,
        seed=stored.seed,
        inference=InferenceSettings(elsewhere.inference or stored.inference),
        world=world,
    )


def load_networks(run: RecipeRun) -> Networks:
    """Return what a run has trained, on the device of this process.

    Raises
    ------
    CheckpointError
        If the folder has no whole weights, or those of another recipe.
    """
    device = compute_device(run.world)
    if not (run.folder / CARD_NAME).is_file():
        raise CheckpointError(
            f"{run.folder} has no weights yet", "A run whose training has ended", "Go on with it: --resume"
        )
    model, card = load_checkpoint(run.folder, device)
    if card.recipe != run.recipe.name:
        raise CheckpointError(
            f"The weights in {run.folder} are of recipe {card.recipe}, its {RECIPE_FILE} is {run.recipe.name}",
            "Both of one run",
            "Run the recipe in a folder of its own",
        )
    if run.recipe.false_positive_reduction is None:
        return Networks(model)
    reduction = run.folder / REDUCTION_NAME
    made_for = read_card(reduction).parent
    if made_for != run.recipe.name:
        raise CheckpointError(
            f"The false-positive reduction in {reduction} belongs to {made_for}",
            f"That of recipe {run.recipe.name}",
            "Go on with the run: --resume",
        )
    return Networks(model, load_network(reduction, device)[0])


def _differences(values: Mapping[str, Any], stored: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Yield the fields, with dots, that both say and say differently."""
    for name, value in values.items():
        if name not in stored:
            continue  # of another version
        known = stored[name]
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            yield from _differences(value, known, f"{place}{name}.")
        elif value != known:
            yield f"{place}{name}"
