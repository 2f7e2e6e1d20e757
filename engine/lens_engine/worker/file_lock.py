"""A lock between processes that the system releases when its holder dies, however it dies."""

import errno
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
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK}
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
            When another process still holds it after the timeout, or the file system knows no locks.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        deadline = time.monotonic() + self._timeout_seconds
        while not self._try_to_lock(handle):
            if time.monotonic() >= deadline:
                holder = _read_holder(handle)
                os.close(handle)
                raise JobError(
                    f"{holder} already holds {self._path.name}", f"Only one may {self._purpose}", self._remedy
                )
            time.sleep(POLL_SECONDS)
        _write_holder(handle)
        self._handle = handle
        return self

    def _try_to_lock(self, handle: int) -> bool:
        try:
            if sys.platform == "win32":
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                return False
            os.close(handle)
            raise JobError(
                f"{self._path} cannot be locked: {error.strerror}",
                "A file system that locks files is needed",
                "Use a folder on another disk",
            ) from error
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
