"""Which windows are open in a project under one reader's name: an empty file for each, kept fresh while it is open."""

from os import getpid
from pathlib import Path
from socket import gethostname
from time import time
from urllib.parse import quote
from uuid import uuid4

import psutil

FOLDER = "windows"
KEPT_EVERY_SECONDS = 60
FRESH_SECONDS = 3 * KEPT_EVERY_SECONDS
"""A window of another machine whose file is older was not closed but ended with its process."""


class OpenWindow:
    """One window of one reader; it is open from the first `keep` until `end`.

    Parameters
    ----------
    project_folder
        Which every machine of a department shares.
    """

    def __init__(self, project_folder: Path, reader: str) -> None:
        self._host = quote(gethostname(), safe="")
        name = f"{self._host} {getpid()} {uuid4().hex}"
        self._path = project_folder / FOLDER / quote(reader, safe="") / name

    def keep(self) -> int:
        """Say that this window is open, and return how many others of the reader are."""
        folder = self._path.parent
        folder.mkdir(parents=True, exist_ok=True)
        self._path.touch()
        return sum(self._is_open(other) for other in folder.iterdir() if other != self._path)

    def end(self) -> None:
        """Say that this window is open no longer."""
        self._path.unlink(missing_ok=True)

    def _is_open(self, other: Path) -> bool:
        """Return whether another window is open; what a window has left that was never closed is cleared away."""
        host, _, rest = other.name.partition(" ")
        process, _, _ = rest.partition(" ")
        if host == self._host and process.isdigit():
            is_open = psutil.pid_exists(int(process))
        else:
            is_open = other.exists() and time() - other.stat().st_mtime < FRESH_SECONDS
        if not is_open:
            other.unlink(missing_ok=True)
        return is_open
