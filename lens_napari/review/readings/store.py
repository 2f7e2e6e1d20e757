"""The readings of one reader as the viewer sees them: what is left, what was marked, and what is said of it."""

from dataclasses import dataclass, replace
from enum import StrEnum

from lens_engine.findings import Decision, Split
from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.decisions import DecisionRecord
from lens_engine.store.readings.readings import Readings
from lens_engine.store.readings.records import ReadingRecord, ReadingRound
from lens_napari.review.project_store import LoadedSeries, ProjectStore


class ReadingState(StrEnum):
    """How far one reader is with a sub-volume."""

    UNTOUCHED = "untouched"
    IN_PROGRESS = "in progress"
    COMPLETE = "complete"
    CLOSED = "read by two others"
    """Two other readers have completed it: there is no room for a third."""

    @property
    def is_left(self) -> bool:
        """Whether there is something to do for this reader."""
        return self in {ReadingState.UNTOUCHED, ReadingState.IN_PROGRESS}


@dataclass(frozen=True, slots=True)
class SubVolume:
    """A held-out series with images, and this reader's own reading of it, if there is any."""

    series: SeriesRecord
    reading: ReadingRecord | None
    is_closed: bool = False

    @property
    def state(self) -> ReadingState:
        """How far this reader is."""
        if self.reading is not None and self.reading.is_complete:
            return ReadingState.COMPLETE
        if self.is_closed:
            return ReadingState.CLOSED
        return ReadingState.UNTOUCHED if self.reading is None else ReadingState.IN_PROGRESS


@dataclass(frozen=True, slots=True)
class ReadingStore:
    """What one reader has marked and marks now; nothing of any other reader can be asked for.

    Its methods may wait for the database: they are called in a lane.

    Attributes
    ----------
    project
        The opened project.
    reader
        Who reads.
    """

    project: ProjectStore
    reader: str

    def sub_volumes(self) -> tuple[SubVolume, ...]:
        """Return every held-out series with images, in the order in which they were added."""
        readings: dict[int, list[ReadingRecord]] = {}
        for reading in self._readings.all():
            if reading.round is ReadingRound.INDEPENDENT:
                readings.setdefault(reading.series_id, []).append(reading)
        found = []
        for record in self.project.viewable_series():
            if record.split is not Split.TRAIN:
                known = readings.get(record.id, [])
                own = next((item for item in known if item.reader == self.reader), None)
                complete = sum(item.is_complete for item in known if item is not own)
                found.append(SubVolume(record, own, complete >= ReadingRound.INDEPENDENT.room))
        return tuple(found)

    def begin(self, series_id: int) -> ReadingRecord:
        """Begin the reading of a series, or go on with it."""
        return self._readings.start(series_id, self.reader)

    def load(self, reading: ReadingRecord) -> LoadedSeries:
        """Read the scan of a reading, with what the model in use found only where the reader has asked for it."""
        promoted = None if reading.is_blind else self.project.promoted()
        return self.project.load(reading.series_id, promoted.version if promoted else None)

    def complete(self, reading: ReadingRecord, seconds: float) -> ReadingRecord:
        """Say that every lesion is marked."""
        return self._readings.complete(reading.id, seconds)

    def reopen(self, reading: ReadingRecord) -> ReadingRecord:
        """Take that back."""
        return self._readings.reopen(reading.id)

    def work(self, reading: ReadingRecord, seconds: float) -> ReadingRecord:
        """Say how long the reader was at work."""
        return self._readings.work(reading.id, seconds)

    def show_aids(self, reading: ReadingRecord) -> ReadingRecord:
        """Say that the reader asks for what the model found."""
        return self._readings.show_aids(reading.id)

    def drawn_lesions(self, series_id: int) -> tuple[DecisionRecord, ...]:
        """Return the lesions that this reader has marked in a series."""
        return self._readings.lesions(self.begin(series_id).id)

    def commit_drawn(self, said: Decision, row_id: int | None, *, is_there: bool) -> int:
        """Write what is said now of a marked lesion; see `ProjectStore.commit_drawn`."""
        reading = self.begin(said.series_id)
        in_reading = replace(said, reading_id=reading.id, round=int(reading.round), scores_hidden=reading.is_blind)
        return self.project.commit_drawn(in_reading, row_id, is_there=is_there)

    @property
    def _readings(self) -> Readings:
        return Readings(self.project.database)
