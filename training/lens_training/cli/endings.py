"""How errors end a command: with an exit code and a message instead of a stack trace."""

import errno
import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from lens_engine.errors import ExportError, LensError
from lens_engine.io.atomic_files import write_text_atomically
from lens_training.errors import EndedElsewhereError, TrainingInterruptedError, TrainingStoppedError
from lens_training.running.stopping import EXIT_CODE

_OF_A_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE,
    errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG,
}  # fmt: skip
"""What a disk says that is full, away or locked up, or on which somebody moved something; all else is our mistake."""


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """End a command that leaves nothing to go on with."""
    try:
        with _refusals_in_words():
            yield
    except LensError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


@contextmanager
def run_errors_as_exit_codes(error_file: Path | None, *, resume: bool) -> Iterator[None]:
    """End a process of a run; one with an error file says there, too, what happened."""
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
