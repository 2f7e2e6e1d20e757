"""The scan of the next series is read while this one is computed: one thread, one scan ahead."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from lens_engine.store.catalog import SeriesRecord
from lens_engine.volume import Volume

Read = Callable[[SeriesRecord], Volume]


class ReadingAhead:
    """Hands out scans, the next one as soon as it is there.

    Parameters
    ----------
    read
        Reads the scan of a series.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reading-ahead")
        self._next: tuple[int, Future[Volume]] | None = None

    def volume(self, series: SeriesRecord) -> Volume:
        """Return the scan of a series. Raises what reading it raises."""
        ahead, self._next = self._next, None
        if ahead is not None and ahead[0] == series.id:
            return ahead[1].result()
        return self._read(series)

    def begin(self, series: SeriesRecord) -> None:
        """Begin to read the scan of a series; one that was read ahead and not asked for is let go of."""
        self._next = (series.id, self._executor.submit(self._read, series))
