"""A polite end: SIGTERM or Ctrl+C is remembered, and the training stops after its step with its checkpoint written."""

import signal
from types import FrameType

from lens_training.errors import TrainingStoppedError

EXIT_CODE = 128 + signal.SIGTERM
"""What a process that was asked to end returns."""


class StopSignal:
    """Whether the process was asked to end."""

    def __init__(self) -> None:
        self._is_set = False

    @property
    def is_set(self) -> bool:
        """Whether SIGTERM or Ctrl+C arrived since `listen`."""
        return self._is_set

    def listen(self) -> None:
        """Take over SIGTERM and the first Ctrl+C for this process; only in the main thread."""
        signal.signal(signal.SIGTERM, self._remember)
        if not self._is_set:
            signal.signal(signal.SIGINT, self._remember)

    def check(self) -> None:
        """Raise if the process was asked to end.

        Raises
        ------
        TrainingStoppedError
            If it was.
        """
        if self._is_set:
            raise TrainingStoppedError("The training was stopped", "", "Start it again with --resume to go on")

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self._is_set = True
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # the second Ctrl+C is for the impatient
