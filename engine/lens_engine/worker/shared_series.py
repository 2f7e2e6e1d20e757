"""What other jobs do of the series that a job detects in: it counts as done before the job comes to it.

A job alone sees nothing here but what had been done before it began.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence

from lens_engine.store.detections import Detections

LOOK_SECONDS = 2.0
"""Between two looks at what others have stored."""
SPEED_SECONDS = 900.0
"""The speed of others is that of the last quarter of an hour: they come and go."""


class SharedSeries:
    """The series of a detecting job, with what the project knows of them.

    Parameters
    ----------
    series_ids
        Of the job; what others do elsewhere does not count.

    Raises
    ------
    StoreError
        If the database refuses.
    """

    def __init__(
        self,
        detections: Detections,
        model_version: str,
        series_ids: Sequence[int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._detections = detections
        self._version = model_version
        self._clock = clock
        self._row = detections.newest_row()  # before the series are asked for: nothing falls between the two
        self._asked = frozenset(series_ids)
        self._known = set(detections.series_among(series_ids, model_version))
        self._come_to: set[int] = set()
        self._detected: set[int] = set()
        self._ahead = set(self._known)
        self._by_others: set[int] = set()
        self._looks = deque([(clock(), 0)])

    @property
    def ahead(self) -> int:
        """How many have detections and the job has not come to."""
        return len(self._ahead)

    @property
    def others_per_second(self) -> float:
        """How many of them others detect in, in a second; 0.0 before that was seen."""
        (began, before), (looked, now) = self._looks[0], self._looks[-1]
        return max(0.0, (now - before) / (looked - began)) if looked > began else 0.0

    def look(self) -> None:
        """See what others have stored meanwhile, once in `LOOK_SECONDS`. Raises `StoreError` as the database does."""
        now = self._clock()
        if now - self._looks[-1][0] < LOOK_SECONDS:
            return
        self._looks.append((now, len(self._by_others)))  # also where the database refuses: it is asked no sooner again
        while now - self._looks[1][0] >= SPEED_SECONDS:
            self._looks.popleft()
        rows = self._detections.series_since(self._row, self._version)
        self._row = max((self._row, *rows))
        stored = self._asked.intersection(rows.values()) - self._known
        self._known |= stored
        self._ahead |= stored - self._come_to
        self._by_others |= stored - self._detected
        self._looks[-1] = (now, len(self._by_others))

    def come_to(self, series_id: int, *, detected: bool) -> None:
        """Count a series as the job's own from now on; `detected` by this job, and not found done."""
        self._come_to.add(series_id)
        self._ahead.discard(series_id)
        if detected:
            self._detected.add(series_id)
            self._by_others.discard(series_id)
