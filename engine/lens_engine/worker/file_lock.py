"""A lock between processes that the system releases when its holder dies, however it dies."""

import os
import sys
import time
from pathlib import Path
from types import TracebackType

from lens_engine.errors import JobError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

POLL_SECONDS = 0.1


class FileLock:
    """Holds `path` for one process at a time; the file itself stays behind and means nothing.

    Parameters
    ----------
    purpose
        What the holder may do, for the message: "run jobs as host-cpu".
    timeout_seconds
        How long entering waits for another holder.
    """

    def __init__(self, path: Path, purpose: str, timeout_seconds: float = 0.0) -> None:
        self._path = path
        self._purpose = purpose
        self._timeout_seconds = timeout_seconds
        self._handle: int | None = None

    def __enter__(self) -> "FileLock":
        """Take the lock. Raises `JobError` when another process still holds it after the timeout."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        deadline = time.monotonic() + self._timeout_seconds
        while not _try_to_lock(handle):
            if time.monotonic() >= deadline:
                os.close(handle)
                raise JobError(
                    f"Another process already holds {self._path.name}",
                    f"Only one may {self._purpose}",
                    "Use the one that runs, or wait until it has ended",
                )
            time.sleep(POLL_SECONDS)
        self._handle = handle
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _try_to_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
