"""Which work is in the hands of a process that sees the same files: the system lets go where it dies, however it dies.

A claim is a lock on one byte of a file that all of them open; the file stays behind, empty.
"""

import errno
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lens_engine.errors import NoLocksError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_HELD_BY_ANOTHER = {errno.EACCES, errno.EAGAIN}
"""What POSIX and Windows say of a lock that another process holds; all else is about the file system."""


@contextmanager
def claim_in_file(path: Path, work: str) -> Iterator[bool]:
    """Yield whether `work` is ours until the block ends; False where another process holds it.

    One at a time in each process: a file's locks belong to a process, and closing it once lets go of all of them.

    Raises
    ------
    OSError
        If the disk does not let the file be opened or made.
    NoLocksError
        If its file system locks no files.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            _lock(handle, number_of(work, bits=31))
            is_ours = True
        except OSError as refusal:
            require_held_by_another(path, refusal)
            is_ours = False
        yield is_ours
    finally:
        os.close(handle)


def number_of(work: str, bits: int) -> int:
    """Return a number that stands for some work; two that share one would only wait for each other."""
    return int.from_bytes(hashlib.sha256(work.encode()).digest()[:8]) >> (64 - bits)


def require_held_by_another(path: Path, refusal: OSError) -> None:
    """Do nothing where the system refused a lock because another process holds it.

    Raises
    ------
    NoLocksError
        If it refused for any other reason: waiting for a holder would never end.
    """
    if refusal.errno not in _HELD_BY_ANOTHER:
        raise NoLocksError(
            f"{path} cannot be locked: {refusal.strerror or refusal}",
            "A file system that locks files is needed",
            "Use a folder on another disk, or have this one mounted with locks (Lustre with flock, NFS with lockd)",
        ) from refusal


def _lock(handle: int, number: int) -> None:
    if sys.platform == "win32":
        os.lseek(handle, number, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
