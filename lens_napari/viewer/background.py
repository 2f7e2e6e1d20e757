"""Work that must not happen in the GUI thread: one thread per lane, answers delivered to the GUI thread in order."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import count
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal

OnDone = Callable[[Any], None]
OnFailed = Callable[[Exception], None]


class Lane(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Runs functions one after the other in a thread of its own.

    Parameters
    ----------
    name
        What the thread is called in logs.
    """

    _answered = Signal(object, object, object)

    def __init__(self, name: str) -> None:
        super().__init__()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"lens-{name}")
        self._is_closed = False
        self._waiting = 0
        self._answered.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    @property
    def waiting(self) -> int:
        """Number of functions whose answer has not been delivered."""
        return self._waiting

    def submit(self, work: Callable[[], Any], on_done: OnDone, on_failed: OnFailed) -> None:
        """Run `work` behind everything submitted before; the answer or the error arrives in the GUI thread."""
        if self._is_closed:
            return
        self._waiting += 1
        future = self._executor.submit(work)
        future.add_done_callback(lambda ended: self._answer(ended, on_done, on_failed))

    def close(self, *, finish: bool) -> None:
        """End the thread; with `finish` only after everything that was submitted, else after what runs now."""
        if not self._is_closed:
            self._is_closed = True
            self._executor.shutdown(wait=True, cancel_futures=not finish)

    def close_within(self, patience_seconds: float) -> None:
        """End the thread after everything that was submitted, or after what runs now where that takes too long."""
        if not self._is_closed:
            self._is_closed = True
            wait([self._executor.submit(lambda: None)], patience_seconds)
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _answer(self, future: "Future[Any]", on_done: OnDone, on_failed: OnFailed) -> None:
        # In the lane's thread. After closing, the window may be gone and nobody listens.
        if not self._is_closed:
            self._answered.emit(future, on_done, on_failed)

    def _deliver(self, future: "Future[Any]", on_done: OnDone, on_failed: OnFailed) -> None:
        self._waiting -= 1
        if self._is_closed or future.cancelled():
            return
        error = future.exception()
        if error is None:
            on_done(future.result())
        elif isinstance(error, Exception):
            on_failed(error)
        else:
            raise error


class CommitLane(Lane):
    """The lane in which decisions are committed: it knows those that are not on disk, or not known to be."""

    def __init__(self) -> None:
        super().__init__("commits")
        self._numbers = count()
        self._unsaved: dict[int, Any] = {}

    @property
    def unsaved(self) -> tuple[Any, ...]:
        """What `commit` was given and has neither been written nor given back to the reader, in order."""
        return tuple(self._unsaved.values())

    def commit(self, said: Any, work: Callable[[], Any], on_done: OnDone, on_failed: OnFailed) -> None:
        """Run `work`, which writes what was said, as `submit` does."""
        number = next(self._numbers)
        self._unsaved[number] = said

        def write() -> Any:
            done = work()
            del self._unsaved[number]
            return done

        def give_back(error: Exception) -> None:
            del self._unsaved[number]
            on_failed(error)

        self.submit(write, on_done, give_back)
