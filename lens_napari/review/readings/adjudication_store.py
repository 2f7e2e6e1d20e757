"""Where two readings of a series differ, as the adjudicator sees it: places with both boxes, and what is said of them.

Readers are A and B here, in the order in which they completed their readings: who they are decides nothing.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from lens_engine.findings import Decision, Verdict, box_from_slices, slices_of_box
from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.decisions import DecisionRecord
from lens_engine.store.readings.places import Comparison, Place
from lens_engine.store.readings.readings import Readings
from lens_engine.store.readings.records import ReadingRecord, ReadingRound
from lens_engine.store.readings.truth import read_series
from lens_napari.editing.draft import Slices
from lens_napari.review.project_store import LoadedSeries, ProjectStore


@dataclass(frozen=True, slots=True)
class DisputedSeries:
    """A series about which two readers differ, and how far this adjudicator is with it."""

    series: SeriesRecord
    places: int
    open_places: int
    reading: ReadingRecord | None

    @property
    def is_complete(self) -> bool:
        """Whether this adjudicator has completed it."""
        return self.reading is not None and self.reading.is_complete


@dataclass(frozen=True, slots=True)
class AdjudicationStore:
    """What one adjudicator settles; its methods may wait for the database and are called in a lane.

    Attributes
    ----------
    project
        The opened project.
    reader
        Who adjudicates.
    """

    project: ProjectStore
    reader: str

    def disputed(self) -> tuple[DisputedSeries, ...]:
        """Return the series about which two readers differ, but those that somebody else has adjudicated."""
        own = {
            item.series_id: item
            for item in self._readings.all()
            if item.round is ReadingRound.ADJUDICATION and item.reader == self.reader
        }
        with self.project.database.reading() as session:
            read = read_series(session)
        found = []
        for series_id in sorted(read):
            comparison, other = read[series_id].comparison, read[series_id].adjudication
            if comparison is None or not comparison.places or (other is not None and other.reader != self.reader):
                continue
            reading = own.get(series_id)
            now = comparison if reading is None else self._readings.comparison(reading.id)
            record = self.project.catalog.series(series_id)
            found.append(DisputedSeries(record, len(now.places), now.open_places, reading))
        return tuple(found)

    def begin(self, series_id: int) -> ReadingRecord:
        """Begin the adjudication of a series, or go on with it."""
        return self._readings.start(series_id, self.reader, ReadingRound.ADJUDICATION)

    def load(self, series_id: int) -> LoadedSeries:
        """Read the scan, without anything that a model found."""
        return self.project.load(series_id, None)

    def comparison(self, reading: ReadingRecord) -> Comparison:
        """Return both readings side by side, with what is settled."""
        return self._readings.comparison(reading.id)

    def settlement(self, reading: ReadingRecord, place: Place, verdict: Verdict, slices: Slices) -> Decision:
        """Return what is said of a place: `ADDED`, a lesion with this box, or `REJECTED`, none."""
        types = [item.decision.lesion_type for item in place.marked if item.decision.lesion_type]
        return Decision(
            series_id=reading.series_id,
            candidate_id=None,
            verdict=verdict,
            box=box_from_slices(slices),
            slices=slices,
            reader=self.reader,
            decided_at=datetime.now(UTC),
            round=int(reading.round),
            scores_hidden=True,
            lesion_type=types[0] if types and verdict is Verdict.ADDED else None,
            reading_id=reading.id,
        )

    def settle(self, reading: ReadingRecord, place: Place, said: Decision | None) -> Comparison:
        """Say what is at a place, now or once more, and return what is settled then; None leaves it open again."""
        if said is None and place.settled is not None:
            said = replace(place.settled.decision, verdict=Verdict.WITHDRAWN, lesion_type=None)
        if said is not None:
            self._readings.settle(place.marked[0].id, replace(said, decided_at=datetime.now(UTC)))
        return self.comparison(reading)

    def complete(self, reading: ReadingRecord, seconds: float) -> ReadingRecord:
        """Say that every place is settled."""
        return self._readings.complete(reading.id, seconds)

    def reopen(self, reading: ReadingRecord) -> ReadingRecord:
        """Take that back."""
        return self._readings.reopen(reading.id)

    def work(self, reading: ReadingRecord, seconds: float) -> ReadingRecord:
        """Say how long the adjudicator was at work."""
        return self._readings.work(reading.id, seconds)

    def drawn_lesions(self, series_id: int) -> tuple[DecisionRecord, ...]:
        """Return the lesions of a series that this adjudicator has marked where neither reader did."""
        return self.comparison(self.begin(series_id)).drawn

    def commit_drawn(self, said: Decision, row_id: int | None, *, is_there: bool) -> int:
        """Write what is said now of such a lesion; see `ProjectStore.commit_drawn`."""
        reading = self.begin(said.series_id)
        in_reading = replace(said, reading_id=reading.id, round=int(reading.round), scores_hidden=True)
        return self.project.commit_drawn(in_reading, row_id, is_there=is_there)

    @property
    def _readings(self) -> Readings:
        return Readings(self.project.database)


def slices_of(lesion: DecisionRecord) -> Slices:
    """Return the cross-sections of what a reader marked."""
    return lesion.decision.slices or slices_of_box(lesion.box)
