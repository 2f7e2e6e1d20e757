"""Scans that turn out to be unreadable while a run is under way: named, left out, and too many of them end it."""

import ctypes
import logging
import multiprocessing

from lens_engine.errors import LensError
from lens_training.errors import TrainingInterruptedError

logger = logging.getLogger(__name__)


class UnreadableScans:
    """Remembers them, together with the processes that are forked from this one.

    Parameters
    ----------
    cases
        How many cases the run has; with 0 every error is passed on.
    share
        Of them that may be unreadable; the first one ends the run where that is less than one.
    """

    def __init__(self, cases: int = 0, share: float = 0.0) -> None:
        self._cases = cases
        self._most = int(share * cases)
        self._is_unreadable = multiprocessing.Array(ctypes.c_bool, max(cases, 1))

    def __contains__(self, case: int) -> bool:
        return self._most > 0 and bool(self._is_unreadable[case])

    def add(self, case: int, name: str, error: LensError) -> None:
        """Remember a case by its number, and name it the first time.

        Raises
        ------
        TrainingInterruptedError
            If there are too many now.
        LensError
            `error` itself where nothing is remembered.
        """
        if self._cases == 0:
            raise error
        with self._is_unreadable.get_lock():
            is_new = not self._is_unreadable[case]
            self._is_unreadable[case] = True
            count = sum(self._is_unreadable[:])
        if count > self._most:
            raise TrainingInterruptedError(
                f"{count} of {self._cases} scans cannot be read, the last one is {name}: {error}",
                f"At most {self._most} are left out (sampling.unreadable_share of the recipe of a detector)",
                "Copy it again from its source, and what was named before",
            ) from error
        if is_new:
            logger.warning("Scan %s is left out (%d of at most %d): %s", name, count, self._most, error)
