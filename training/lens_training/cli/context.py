"""What the commands of `python -m lens_training` share: where progress goes, and how errors end the process."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from lens_engine.errors import ConfigError, LensError
from lens_engine.jobs.names import TRAINING_ERROR_FILE
from lens_training.detector.fit import LOG_FILE
from lens_training.errors import EndedElsewhereError, TrainingStoppedError
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import EXIT_CODE
from lens_training.running.world import ALONE, World


def log_of(world: World, out: Path, *, resume: bool) -> ProgressLog:
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


@contextmanager
def errors_as_exit_codes(folder: Path, world: World = ALONE) -> Iterator[None]:
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
        typer.echo(str(error), err=True)
        if folder.is_dir() and world.is_first:
            parts = {"happened": error.happened, "expected": error.expected, "remedy": error.remedy}
            with suppress(OSError):  # the folder may be what is wrong, and the message is told already
                error_file.write_text(json.dumps(parts), encoding="utf-8")
        raise typer.Exit(1) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The folder {folder} cannot be made ({error.strerror})", "A writable place", "Choose another folder"
        ) from error
