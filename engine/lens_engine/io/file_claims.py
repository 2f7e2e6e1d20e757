"""Which work is in the hands of a process that sees the same files: the system lets go where it dies, however it dies.

A claim is a lock on one byte of a file that all of them open; the file stays behind, empty.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


@contextmanager
def claim_in_file(path: Path, work: str) -> Iterator[bool]:
    """Yield whether `work` is ours until the block ends; False where another process holds it.

    One at a time in each process: a file's locks belong to a process, and closing it once lets go of all of them. An
    `OSError` of a disk that refuses is passed on.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield _try_to_lock(handle, number_of(work, bits=31))
    finally:
        os.close(handle)


def number_of(work: str, bits: int) -> int:
    """Return a number that stands for some work; two that share one would only wait for each other."""
    return int.from_bytes(hashlib.sha256(work.encode()).digest()[:8]) >> (64 - bits)


def _try_to_lock(handle: int, number: int) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(handle, number, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
    except OSError:
        return False
    return True
