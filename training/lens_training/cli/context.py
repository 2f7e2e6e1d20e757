"""What the commands that train share: who starts the processes, where progress goes, and how errors end them."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import typer

from lens_engine.errors import ConfigError, LensError
from lens_engine.jobs.names import TRAINING_ERROR_FILE
from lens_training.errors import EndedElsewhereError, TrainingInterruptedError, TrainingStoppedError
from lens_training.running.launching import run_processes
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import EXIT_CODE, StopSignal
from lens_training.running.world import ALONE, World, world_of

LOG_FILE = "log.jsonl"
"""In the output folder: every message of the run."""


@dataclass(frozen=True, slots=True)
class RunProcess:
    """One process of a run: its place among all of them, where its progress goes, and whether it was asked to end."""

    world: World
    log: ProgressLog
    stop: StopSignal


@contextmanager
def process_of_run(folder: Path, devices: int, nodes: int, *, resume: bool) -> Iterator[RunProcess]:
    """Yield what this process has to know; where those of the run are still to be started, start them and exit.

    An error ends the process with an exit code and a message instead of a stack trace.

    Parameters
    ----------
    folder
        Made if absent; the log goes there, and what ended the run.
    devices, nodes
        How many processes on each node, and how many nodes, the user asked for.
    """
    stop = StopSignal()
    stop.listen()
    with _errors_as_exit_codes(folder):
        world = world_of(devices, nodes, os.environ)
        if not world.is_started:
            raise typer.Exit(run_processes(sys.argv[1:], devices, stop))
    with _errors_as_exit_codes(folder, world), _log_of(world, folder, resume=resume) as log:
        yield RunProcess(world, log, stop)


@contextmanager
def _errors_as_exit_codes(folder: Path, world: World = ALONE) -> Iterator[None]:
    """Make the output folder, and end with an exit code and a message instead of a stack trace."""
    error_file = folder / TRAINING_ERROR_FILE
    try:
        _make_folder(folder)
        if world.is_first:
            error_file.unlink(missing_ok=True)
        yield
    except EndedElsewhereError as ended:
        raise typer.Exit(0) from ended  # the first process has the message and the exit code of all
    except TrainingStoppedError as stopped:
        typer.echo(str(stopped), err=True)
        raise typer.Exit(EXIT_CODE) from stopped
    except LensError as error:
        can_go_on = isinstance(error, TrainingInterruptedError)
        hint = " Then go on with the same command and --resume." if can_go_on else ""
        typer.echo(f"{error}{hint}", err=True)
        if folder.is_dir() and world.is_first:
            parts = {"happened": error.happened, "expected": error.expected, "remedy": error.remedy}
            with suppress(OSError):  # the folder may be what is wrong, and the message is told already
                error_file.write_text(json.dumps(parts | {"can_go_on": can_go_on}), encoding="utf-8")
        raise typer.Exit(1) from error


def _log_of(world: World, out: Path, *, resume: bool) -> ProgressLog:
    """Return where progress goes to: of several processes only the first one speaks.

    Raises
    ------
    ConfigError
        If the log cannot be written.
    """
    if not world.is_first:
        return ProgressLog(None, None)
    file = out / LOG_FILE
    try:
        if not resume:
            file.unlink(missing_ok=True)
        file.touch()
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written ({error.strerror})", "A writable folder", "Choose another folder"
        ) from error
    return ProgressLog(sys.stdout, file)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The folder {folder} cannot be made ({error.strerror})", "A writable place", "Choose another folder"
        ) from error
