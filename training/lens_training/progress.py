"""Progress as JSON lines: on stdout for the job that started the training, and in the log of the run."""

import json
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TextIO


class Stage(StrEnum):
    """What the training process is doing."""

    PREPARE = "prepare"
    TRAIN = "train"
    EVALUATE = "evaluate"
    SAVE = "save"


class ProgressLog:
    """Writes every message to a log file, and at most a few per second to a stream.

    Parameters
    ----------
    stream
        Where the starting process listens.
    log_file
        Appended to; None keeps no log.
    interval_seconds
        Shortest time between two messages of one stage on the stream; the last one of a stage always comes through.
    """

    def __init__(self, stream: TextIO, log_file: Path | None, interval_seconds: float = 0.5) -> None:
        self._stream = stream
        self._log_file = log_file
        self._interval_seconds = interval_seconds
        self._started = time.monotonic()
        self._last_sent = -interval_seconds

    def report(self, stage: Stage, done: int, total: int, details: Mapping[str, float | str] | None = None) -> None:
        """Say how far a stage is; `details` are shown and logged as they are."""
        seconds = time.monotonic() - self._started
        message = {"stage": stage.value, "done": done, "total": total, **(details or {}), "seconds": round(seconds, 2)}
        line = json.dumps(message)
        if self._log_file is not None:
            with self._log_file.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        if done >= total or seconds - self._last_sent >= self._interval_seconds:
            self._last_sent = seconds
            self._stream.write(line + "\n")
            self._stream.flush()
