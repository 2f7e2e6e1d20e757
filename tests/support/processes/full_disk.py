"""A disk without space, played by a limit on the size of files in this process; Windows has no such limit."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

if sys.platform != "win32":
    import resource

needs_file_limit = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
