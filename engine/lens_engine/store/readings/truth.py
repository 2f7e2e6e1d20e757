"""What is true of a series that was read for the test set, as far as its readings say.

Of one complete reading its lesions are true; of two those on which they agree and those that a complete adjudication
accepted or marked itself. Two that differ and are not adjudicated leave the series disputed: nothing of it is measured
on. A series without a complete reading is what the review and its annotations say.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from lens_engine.store.decisions import DecisionRecord, decisions_of_readings
from lens_engine.store.readings.places import Comparison, compare, lesions_among
from lens_engine.store.readings.records import ReadingRecord, ReadingRound, read_readings


@dataclass(frozen=True, slots=True)
class ReadSeries:
    """A series with a complete reading at least.

    Attributes
    ----------
    readings
        The complete independent ones, one or two, in the order in which they were completed.
    lesions
        What each of them marked.
    adjudication
        The complete one, if there is any.
    comparison
        Of two readings; None of a sole one.
    truth
        The lesions that are true; those on which the readers agree while the series is disputed.
    """

    readings: tuple[ReadingRecord, ...]
    lesions: tuple[tuple[DecisionRecord, ...], ...]
    adjudication: ReadingRecord | None
    comparison: Comparison | None
    truth: tuple[DecisionRecord, ...]

    @property
    def is_disputed(self) -> bool:
        """Whether two readings differ and nobody has settled that."""
        return self.comparison is not None and self.comparison.open_places > 0

    @property
    def is_settled(self) -> bool:
        """Whether two readings agree, or an adjudication has settled where they do not."""
        return self.comparison is not None and self.comparison.open_places == 0


def read_series(session: Session, series_ids: Sequence[int] | None = None) -> dict[int, ReadSeries]:
    """Return those of the given series (None: of all) that have a complete reading, by id."""
    readings: dict[int, list[ReadingRecord]] = defaultdict(list)
    for reading in read_readings(session, series_ids):
        if reading.is_complete:
            readings[reading.series_id].append(reading)
    said = decisions_of_readings(session, sorted(readings)) if readings else {}
    found = {series_id: _read_series(complete, said) for series_id, complete in readings.items()}
    return {series_id: item for series_id, item in found.items() if item is not None}


def _read_series(complete: Sequence[ReadingRecord], said: dict[int, tuple[DecisionRecord, ...]]) -> ReadSeries | None:
    in_order = sorted(complete, key=lambda item: (item.completed_at or item.started_at, item.id))
    independent = tuple(item for item in in_order if item.round is ReadingRound.INDEPENDENT)
    adjudication = next((item for item in in_order if item.round is ReadingRound.ADJUDICATION), None)
    lesions = tuple(lesions_among(said.get(item.id, ())) for item in independent)
    if not independent:
        return None
    if len(independent) == 1:
        return ReadSeries(independent, lesions, adjudication, None, lesions[0])
    comparison = compare(lesions[0], lesions[1], said.get(adjudication.id, ()) if adjudication else ())
    accepted = lesions_among(place.settled for place in comparison.places if place.settled is not None)
    truth = (*comparison.agreed, *accepted, *comparison.drawn)
    return ReadSeries(independent, lesions, adjudication, comparison, truth)
