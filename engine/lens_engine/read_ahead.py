"""Read on in a second thread while the caller works on what was read; pays where reading waits, or leaves Python."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum
from typing import TypeVar

Item = TypeVar("Item")


class _End(Enum):
    """What the thread answers once there are no items left."""

    REACHED = "reached"


def read_ahead(items: Iterator[Item], ahead: int) -> Generator[Item, None, None]:
    """Yield the items in their order, taken from the iterator in one thread, at most `ahead` before they are needed.

    What the iterator raises is raised here, in its turn. The thread has ended when the last item was taken, something
    was raised, or the generator was closed.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as thread:
        waiting: deque[Future[Item | _End]] = deque()

        def following() -> Item | _End:
            while len(waiting) <= ahead:
                waiting.append(thread.submit(next, items, _End.REACHED))
            return waiting.popleft().result()

        try:
            while not isinstance(item := following(), _End):
                yield item
        finally:
            for future in waiting:
                future.cancel()
