"""Log files that do not grow without end: a full one is put aside when the next process begins to write."""

import json
import logging
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

MOST_BYTES = 5_000_000
KEPT = 3
"""Older files beside the one that is written: `log.txt.1` is the latest of them."""


def make_room(log: Path) -> None:
    """Put a full log aside, and drop the oldest; only while nobody writes it."""
    if log.exists() and log.stat().st_size >= MOST_BYTES:
        with closing(RotatingFileHandler(log, backupCount=KEPT, delay=True)) as handler:
            handler.doRollover()


class EventLog:
    """The events of one job as lines of JSON, for programs: `time`, `event`, and what belongs to it.

    Beside the log for people; it holds ids and numbers, no names of patients or files. A full one is put aside at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handler: RotatingFileHandler | None = None

    def write(self, event: str, **values: object) -> None:
        """Add an event."""
        try:
            self._path.parent.mkdir(exist_ok=True)
        except OSError:
            return  # its project is away, which the worker's own log tells
        if self._handler is None:
            self._handler = RotatingFileHandler(
                self._path, maxBytes=MOST_BYTES, backupCount=KEPT, encoding="utf-8", delay=True
            )
        self._handler.emit(logging.makeLogRecord({"msg": _line(event, values)}))

    def close(self) -> None:
        """Close the file."""
        if self._handler is not None:
            self._handler.close()
            self._handler = None


def _line(event: str, values: Mapping[str, object]) -> str:
    # A "%" in it is no placeholder: the record carries no arguments.
    return json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **values})
