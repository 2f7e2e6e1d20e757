"""What the commands that train share: their processes, how they begin, where progress goes, what keeps slices."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from lens_engine.checkpoint_card import CARD_NAME
from lens_engine.errors import ConfigError
from lens_engine.jobs.names import LAST_CHECKPOINT, TRAINING_ERROR_FILE
from lens_training.cli.endings import run_errors_as_exit_codes
from lens_training.detector.slice_cache import SLICES_FOLDER, default_folder
from lens_training.lesion_embedding.patch_file import LOOKS_FILE
from lens_training.recipes.files import RECIPE_FILE, read_fields
from lens_training.recipes.recipe import Recipe
from lens_training.running.processes.launching import run_processes
from lens_training.running.processes.world import World, world_of
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal

ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder, from its last.ckpt.")]
AnewOption = Annotated[bool, typer.Option("--anew", help="Begin anew, and lose what the run in the folder has learnt.")]

_LEARNT = CARD_NAME, LAST_CHECKPOINT, LOOKS_FILE
"""What stands for hours of work, in the folder of a run or of one of its stages."""

LOG_FILE = "log.jsonl"
"""In the output folder: every message of the run."""


@dataclass(frozen=True, slots=True)
class RunProcess:
    """One process of a run: its place among all of them, where its progress goes, and whether it was asked to end."""

    world: World
    log: ProgressLog
    stop: StopSignal


@contextmanager
def process_of_run(folder: Path, devices: int, nodes: int, *, resume: bool, anew: bool = False) -> Iterator[RunProcess]:
    """Yield what this process has to know; where those of the run are still to be started, start them and exit.

    An error ends the process with an exit code and a message instead of a stack trace. One that comes before the first
    report leaves the folder as it was, but for `error.json` where there is a folder.

    Parameters
    ----------
    folder
        Made by the first report if absent; the log goes there, and what ended the run.
    devices, nodes
        How many processes on each node, and how many nodes, the user asked for.
    resume
        Whether an earlier run in the folder goes on; its log is continued instead of replaced.
    anew
        Whether what an earlier run has learnt may be lost; without either, a folder with a run in it is refused.
    """
    stop = StopSignal()
    stop.listen()
    with run_errors_as_exit_codes(None, resume=resume):
        world = world_of(devices, nodes, os.environ)
        _check_beginning(folder, resume=resume, anew=anew)
    with run_errors_as_exit_codes(folder / TRAINING_ERROR_FILE if world.is_first else None, resume=resume):
        if not world.is_started:
            raise typer.Exit(run_processes(sys.argv[1:], devices, stop))
        with _log_of(world, folder, resume=resume) as log:
            yield RunProcess(world, log, stop)


def recipe_with_slice_cache(recipe: Recipe, cache: Path | None) -> Recipe:
    """Return a recipe that keeps slices: below the folder that was given, else in its own, else in that of the user."""
    folder = cache / SLICES_FOLDER if cache is not None else recipe.sampling.slice_cache or default_folder()
    return recipe.with_options({"sampling": recipe.sampling.model_copy(update={"slice_cache": folder})})


def _check_beginning(folder: Path, *, resume: bool, anew: bool) -> None:
    """Refuse to lose what an earlier run has learnt, unless that was asked for."""
    if resume and anew:
        raise ConfigError(
            "--resume and --anew were both given",
            "A run goes on, or it begins anew",
            "Leave out --anew to keep what was learnt, or --resume to lose it",
        )
    if resume or anew:
        return
    places = folder, *folder.glob("*/")
    found = next((path for name in _LEARNT for place in places if (path := place / name).exists()), None)
    if found is None:
        return
    recipe = folder / RECIPE_FILE
    whose = f" of recipe {read_fields(recipe).get('name')}" if recipe.is_file() else ""
    raise ConfigError(
        f"{folder} holds a run{whose} already, with {found.relative_to(folder)}",
        "A new folder, or a word on what to do with what was learnt there",
        "Choose another folder with --out; for the same run --resume goes on, --anew begins anew and loses it",
    )


def _log_of(world: World, folder: Path, *, resume: bool) -> ProgressLog:
    """Return where progress goes to: of several processes only the first one speaks."""
    return ProgressLog(sys.stdout, folder / LOG_FILE, goes_on=resume) if world.is_first else ProgressLog(None, None)
