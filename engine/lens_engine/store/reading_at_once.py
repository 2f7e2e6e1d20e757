"""Reading very many rows at once without looking for garbage among them meanwhile."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_readers = 0
_was_on = False


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Keep Python's cyclic garbage collector at rest until the last of those that asked for it is done.

    Every few thousand new objects it goes through all that there are, which takes more time than reading them: half of
    it for 100,000 candidates. What nobody refers to is freed at once as ever; cycles wait until afterwards.
    """
    global _readers, _was_on
    with _lock:
        if _readers == 0:
            _was_on = gc.isenabled()
            gc.disable()
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0 and _was_on:
                gc.enable()
