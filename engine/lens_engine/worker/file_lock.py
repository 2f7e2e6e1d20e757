"""A lock between processes that the system releases when its holder dies, however it dies."""

import os
import sys
import time
from pathlib import Path
from types import TracebackType

from lens_engine.errors import JobError
from lens_engine.io.file_claims import require_held_by_another

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

POLL_SECONDS = 0.1
_HOLDER_AT = 1
"""Where the holder's number begins: Windows lets nobody else read the first byte, which is locked."""


class FileLock:
    """Holds `path` for one process at a time; the file stays behind, with the number of who held it last.

    Parameters
    ----------
    purpose
        What the holder may do, for the message: "run jobs as host-cpu".
    timeout_seconds
        How long entering waits for another holder.
    remedy
        What to do when another one holds it.
    """

    def __init__(
        self, path: Path, purpose: str, timeout_seconds: float = 0.0, remedy: str = "Wait until it has ended"
    ) -> None:
        self._path = path
        self._purpose = purpose
        self._remedy = remedy
        self._timeout_seconds = timeout_seconds
        self._handle: int | None = None

    def __enter__(self) -> "FileLock":
        """Take the lock.

        Raises
        ------
        JobError
            When another process still holds it after the timeout.
        NoLocksError
            When the file system locks no files.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._wait_for(handle)
        except JobError:
            os.close(handle)
            raise
        _write_holder(handle)
        self._handle = handle
        return self

    def _wait_for(self, handle: int) -> None:
        deadline = time.monotonic() + self._timeout_seconds
        while not self._try_to_lock(handle):
            if time.monotonic() >= deadline:
                raise JobError(
                    f"{_read_holder(handle)} already holds {self._path.name}",
                    f"Only one may {self._purpose}",
                    self._remedy,
                )
            time.sleep(POLL_SECONDS)

    def _try_to_lock(self, handle: int) -> bool:
        try:
            if sys.platform == "win32":
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as refusal:
            require_held_by_another(self._path, refusal)
            return False
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _write_holder(handle: int) -> None:
    os.ftruncate(handle, _HOLDER_AT)
    os.lseek(handle, _HOLDER_AT, os.SEEK_SET)
    os.write(handle, str(os.getpid()).encode("ascii"))


def _read_holder(handle: int) -> str:
    """Return who holds the lock, for a message; it may not have written its number yet."""
    os.lseek(handle, _HOLDER_AT, os.SEEK_SET)
    number = os.read(handle, 20).decode("ascii", errors="replace")
    return f"The process {number}" if number.isdigit() else "Another process"
