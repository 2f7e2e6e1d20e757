"""What the commands that train share: their processes, where progress goes, how errors end them, what keeps slices."""

import errno
import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from lens_engine.checkpoint_card import CARD_NAME
from lens_engine.errors import ConfigError, ExportError, LensError
from lens_engine.io.atomic_files import write_text_atomically
from lens_engine.jobs.names import LAST_CHECKPOINT, TRAINING_ERROR_FILE
from lens_training.detector.slice_cache import SLICES_FOLDER, default_folder
from lens_training.errors import EndedElsewhereError, TrainingInterruptedError, TrainingStoppedError
from lens_training.recipes.recipe import Recipe
from lens_training.running.processes.launching import run_processes
from lens_training.running.processes.world import World, world_of
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import EXIT_CODE, StopSignal

ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder, from its last.ckpt.")]
AnewOption = Annotated[bool, typer.Option("--anew", help="Begin anew, and lose what the run in the folder has learnt.")]

LOG_FILE = "log.jsonl"
"""In the output folder: every message of the run."""

_OF_A_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE,
    errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG,
}  # fmt: skip
"""What a disk says that is full, away or locked up, or on which somebody moved something; all else is our mistake."""


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
    with _errors_as_exit_codes(None, resume=resume):
        world = world_of(devices, nodes, os.environ)
        _check_beginning(folder, resume=resume, anew=anew)
    with _errors_as_exit_codes(folder / TRAINING_ERROR_FILE if world.is_first else None, resume=resume):
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
            "--resume and --anew were both given", "A run goes on, or it begins anew", "Leave one of them out"
        )
    learnt = (path for name in (CARD_NAME, LAST_CHECKPOINT) for path in (folder / name, *folder.glob(f"*/{name}")))
    found = None if resume or anew else next((path for path in learnt if path.exists()), None)
    if found is not None:
        raise ConfigError(
            f"{folder} holds a run already, with {found.relative_to(folder)}",
            "A new folder, or a word on what to do with what was learnt there",
            "Choose another folder with --out; for the same run --resume goes on, and --anew begins anew and loses it",
        )


@contextmanager
def _errors_as_exit_codes(error_file: Path | None, *, resume: bool) -> Iterator[None]:
    """End with an exit code and a message instead of a stack trace; a process with an error file says it there too."""
    if error_file is not None:
        with suppress(OSError):  # the log will say what is wrong with the folder
            error_file.unlink(missing_ok=True)
    try:
        with _refusals_in_words():
            yield
    except EndedElsewhereError as ended:
        raise typer.Exit(0) from ended  # the first process has the message and the exit code of all
    except TrainingStoppedError as stopped:
        typer.echo(str(stopped), err=True)
        raise typer.Exit(EXIT_CODE) from stopped
    except LensError as error:
        can_go_on = isinstance(error, TrainingInterruptedError | ExportError)  # a disk refused what was to be exported
        hint = f" Then go on with the same command{'' if resume else ' and --resume'}."
        typer.echo(f"{error}{hint if can_go_on else ''}", err=True)
        if error_file is not None and error_file.parent.is_dir():
            parts = {"happened": error.happened, "expected": error.expected, "remedy": error.remedy}
            trace = {"trace": traceback.format_tb(error.__traceback__)}
            with suppress(ExportError):  # the folder may be what is wrong, and the message is told already
                write_text_atomically(error_file, json.dumps(parts | {"can_go_on": can_go_on} | trace))
        raise typer.Exit(1) from error


@contextmanager
def _refusals_in_words() -> Iterator[None]:
    """Turn what a disk refuses, and no step of the run has put into words, into what ends it and lets it go on."""
    try:
        yield
    except OSError as refusal:
        if refusal.errno not in _OF_A_DISK:
            raise
        raise TrainingInterruptedError(
            f"{refusal.filename or 'A file'} cannot be written or read: {refusal.strerror}",
            "A disk with enough free space, and folders that nobody moves or closes meanwhile, are needed",
            "Put that right: what is done stays done",
        ).with_traceback(refusal.__traceback__) from refusal


def _log_of(world: World, folder: Path, *, resume: bool) -> ProgressLog:
    """Return where progress goes to: of several processes only the first one speaks."""
    return ProgressLog(sys.stdout, folder / LOG_FILE, goes_on=resume) if world.is_first else ProgressLog(None, None)
