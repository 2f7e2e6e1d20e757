"""Progress of a run: JSON lines for the job that started it, a bar for a person at a terminal, and the run's log."""

import json
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lens_engine.jobs.names import TRAINING_STAGES
from lens_training.errors import TrainingInterruptedError


class Stage(StrEnum):
    """What the training process is doing."""

    PREPARE = "prepare"
    TRAIN = "train"
    DETECT = "detect"
    EMBED = "embed"
    MINE = "mine"
    EVALUATE = "evaluate"
    SAVE = "save"


_SPEED = "_per_second"
"""End of the name of a speed; before it stands what is counted."""

Details = Mapping[str, float | str]


class ProgressLog:
    """Writes every message to a log file, and shows it to whoever is at the other end of a stream.

    Parameters
    ----------
    stream
        What the starting process or a person looks at; None shows nothing.
    log_file
        Begins with the first message, in a folder that is made if absent; None keeps no log.
    interval_seconds
        Shortest time between two messages of one stage on a stream that is no terminal; the last one of a stage always
        comes through.
    goes_on
        Whether the first message comes after what an earlier run has left in the file, instead of in its place.
    """

    def __init__(
        self, stream: TextIO | None, log_file: Path | None, interval_seconds: float = 0.5, *, goes_on: bool = False
    ) -> None:
        self._display = _display_on(stream, interval_seconds)
        self._log_file = log_file
        self._is_begun = goes_on
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._display.close()

    def report(self, stage: Stage, done: int, total: int, details: Details | None = None) -> None:
        """Say how far a stage is; `details` are shown and logged as they are.

        Raises
        ------
        TrainingInterruptedError
            If the log cannot be written.
        """
        seconds = time.monotonic() - self._started
        if self._log_file is not None:
            try:
                self._log_file.parent.mkdir(parents=True, exist_ok=True)
                with self._log_file.open("a" if self._is_begun else "w", encoding="utf-8") as file:
                    file.write(_line(stage, done, total, details or {}, seconds))
                self._is_begun = True
            except OSError as error:
                raise TrainingInterruptedError(
                    f"The log {self._log_file} cannot be written ({error.strerror})",
                    "A writable folder with enough space is needed",
                    "Make room, or choose another folder",
                ) from error
        self._display.show(stage, done, total, details or {}, seconds)


class _Display(Protocol):
    """What shows progress while it happens."""

    def show(self, stage: Stage, done: int, total: int, details: Details, seconds: float) -> None:
        """Show how far a stage is, that many seconds after the start."""

    def close(self) -> None:
        """Leave the stream as it was found."""


class _Nothing:
    def show(self, stage: Stage, done: int, total: int, details: Details, seconds: float) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


class _JsonLines:
    """A JSON object for every message that comes late enough after the one before."""

    def __init__(self, stream: TextIO, interval_seconds: float) -> None:
        self._stream = stream
        self._interval_seconds = interval_seconds
        self._last_sent = -interval_seconds

    def show(self, stage: Stage, done: int, total: int, details: Details, seconds: float) -> None:
        if done >= total or seconds - self._last_sent >= self._interval_seconds:
            self._last_sent = seconds
            self._stream.write(_line(stage, done, total, details, seconds))
            self._stream.flush()

    def close(self) -> None:
        """Do nothing."""


class _Bars:
    """A bar for every stage."""

    def __init__(self, stream: TextIO) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[details]}"),
            console=Console(file=stream),
        )
        self._tasks: dict[Stage, TaskID] = {}

    def show(self, stage: Stage, done: int, total: int, details: Details, seconds: float) -> None:
        self._progress.start()
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(TRAINING_STAGES[stage], total=total, details="")
        shown = [str(details["note"])] if "note" in details else []
        shown += [f"loss {details['loss']:.3f}"] if "loss" in details else []
        speeds = [name for name in details if name.endswith(_SPEED)]
        shown += [f"{details[name]:.1f} {name.removesuffix(_SPEED)}/s" for name in speeds]
        self._progress.update(self._tasks[stage], completed=done, total=total, details=", ".join(shown))

    def close(self) -> None:
        """Leave the bars where they are and give the cursor back."""
        self._progress.stop()


def _display_on(stream: TextIO | None, interval_seconds: float) -> _Display:
    if stream is None:
        return _Nothing()
    return _Bars(stream) if stream.isatty() else _JsonLines(stream, interval_seconds)


def _line(stage: Stage, done: int, total: int, details: Details, seconds: float) -> str:
    return json.dumps({"stage": stage, "done": done, "total": total, **details, "seconds": round(seconds, 2)}) + "\n"
