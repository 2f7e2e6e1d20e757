"""How long work tells whoever waits how far it has come, and how it is ended."""

from collections.abc import Callable
from threading import Event

from lens_engine.errors import StoppedError

ProgressCallback = Callable[[int, int], None]
"""Told how many units are done, and of how many."""


class WorkHandle:
    """Lets whoever waits for work in another thread see what it is at, and end it."""

    def __init__(self) -> None:
        self._current = ""
        self._stop = Event()

    @property
    def current(self) -> str:
        """What is worked on now, for people; empty before the first."""
        return self._current

    def stop(self) -> None:
        """Ask the work to end when it turns to the next thing."""
        self._stop.set()

    def turn_to(self, what: str) -> None:
        """Note what is worked on from now on.

        Raises
        ------
        StoppedError
            If the work was asked to end.
        """
        if self._stop.is_set():
            raise StoppedError("The work was stopped", "", "Begin again when it suits you")
        self._current = what
