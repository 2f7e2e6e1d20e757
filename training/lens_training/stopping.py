"""A polite end: SIGTERM is remembered, and the training stops at the next step with its checkpoint written."""

import signal
from types import FrameType

from lens_training.errors import TrainingStoppedError

EXIT_CODE = 128 + signal.SIGTERM
"""What a process that ended on SIGTERM returns."""


class StopSignal:
    """Whether the process was asked to end."""

    def __init__(self) -> None:
        self._is_set = False

    @property
    def is_set(self) -> bool:
        """Whether SIGTERM arrived since `listen`."""
        return self._is_set

    def listen(self) -> None:
        """Take over SIGTERM for this process; only in the main thread."""
        signal.signal(signal.SIGTERM, self._remember)

    def check(self) -> None:
        """Raise if the process was asked to end.

        Raises
        ------
        TrainingStoppedError
            If it was.
        """
        if self._is_set:
            raise TrainingStoppedError("The training was stopped", "", "Start it again with --resume to go on")

    def _remember(self, _signal: int, _frame: FrameType | None) -> None:
        self._is_set = True
