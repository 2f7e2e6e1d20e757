"""Do the next pieces of work in one thread while the caller is busy with the last one."""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Piece = TypeVar("Piece")


def read_ahead(make: Callable[[int], Piece], count: int, ahead: int) -> Generator[Piece, None, None]:
    """Yield `make(0)` to `make(count - 1)` in order, made in one thread, at most `ahead` before they are needed.

    What `make` raises is raised here, in its turn. The thread has ended when the last piece was taken, something was
    raised, or the generator was closed.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as thread:
        waiting: deque[Future[Piece]] = deque()
        try:
            for index in range(count):
                while len(waiting) <= ahead and index + len(waiting) < count:
                    waiting.append(thread.submit(make, index + len(waiting)))
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
