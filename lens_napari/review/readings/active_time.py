"""How long a reader is at work: time with something happening at least once a minute, while the window is in use."""

from collections.abc import Callable

IDLE_SECONDS = 60.0
"""A longer time without a key, a click or a movement is a pause, and does not count."""


class ActiveTime:
    """A clock that counts from one thing that the reader does to the next.

    Parameters
    ----------
    clock
        Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: float | None = None
        self._seconds = 0.0

    def act(self) -> None:
        """Note that the reader does something now."""
        now = self._clock()
        if self._last is not None and now - self._last <= IDLE_SECONDS:
            self._seconds += now - self._last
        self._last = now

    def pause(self) -> None:
        """Note that the reader turns to something else."""
        self.act()
        self._last = None

    def take(self) -> float:
        """Return the seconds since they were taken last, and begin anew."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds
