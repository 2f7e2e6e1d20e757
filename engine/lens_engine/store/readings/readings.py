"""Readings of the test set: begun, worked on, completed, settled; every step is a row more.

Readers of one series wait for each other, and none is told what another one marked. A series has room for two complete
independent readings and for one complete adjudication; who comes too late is refused when completing, by name.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from lens_engine.errors import StoreError
from lens_engine.findings import Decision, Verdict
from lens_engine.store.annotations import Annotations
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import DecisionRecord, Decisions, decisions_of_readings, reader_id
from lens_engine.store.labels.completeness import check_may_be_complete, refuse_flat_lesions
from lens_engine.store.readings.places import Comparison, compare, lesions_among
from lens_engine.store.readings.records import (
    ReadingRecord,
    ReadingRound,
    read_reading,
    read_readings,
)
from lens_engine.store.readings.truth import read_series
from lens_engine.store.schema import ReadingEventKind, ReadingEventRow, ReadingRow, SeriesRow

SETTLING = frozenset({Verdict.ADDED, Verdict.REJECTED, Verdict.WITHDRAWN})
"""What an adjudication may say of a place."""


@dataclass(frozen=True, slots=True)
class Readings:
    """The readings of one database."""

    database: Database

    def start(
        self, series_id: int, reader: str, reading_round: ReadingRound = ReadingRound.INDEPENDENT
    ) -> ReadingRecord:
        """Begin a reading, or return the one that this reader has begun.

        Raises
        ------
        StoreError
            If the series has no images or is trained on, it has all the complete readings of this round already, or
            there is nothing to adjudicate.
        """
        check_may_be_complete(Catalog(self.database).series(series_id))
        with self._writing(series_id) as session:
            known = read_readings(session, [series_id])
            own = next((item for item in known if (item.reader, item.round) == (reader, reading_round)), None)
            if own is not None:
                return own
            _check_room(known, reading_round)
            if reading_round is ReadingRound.ADJUDICATION:
                _check_disputed(session, series_id)
            row = ReadingRow(
                series_id=series_id,
                reader_id=reader_id(session, reader),
                round=int(reading_round),
                started_at=datetime.now(UTC),
            )
            session.add(row)
            session.flush()
            return read_reading(session, row.id)

    def work(self, reading_id: int, seconds: float) -> ReadingRecord:
        """Say that the reader was at work for some time."""
        return self._happen(reading_id, ReadingEventKind.WORKED, seconds)

    def show_aids(self, reading_id: int) -> ReadingRecord:
        """Say that the reader has asked for what the model found; nothing takes that back."""
        return self._happen(reading_id, ReadingEventKind.AIDS_SHOWN)

    def complete(self, reading_id: int, seconds: float = 0.0) -> ReadingRecord:
        """Say that every lesion is marked, or every place settled; the series joins the test set.

        Parameters
        ----------
        seconds
            Of work that were not said yet.

        Raises
        ------
        StoreError
            If an annotation of the series is known on one slice only and was not drawn, a place is not settled, or
            other readers have completed all the readings of this round meanwhile. Nothing is stored.
        """
        reading = self.get(reading_id)
        series = Catalog(self.database).series(reading.series_id)
        annotations = Annotations(self.database).of_series(series.id)
        with self._writing(series.id) as session:
            known = read_readings(session, [series.id])
            reading = next(item for item in known if item.id == reading_id)
            if reading.is_complete:
                return reading
            _check_room(known, reading.round)
            if reading.round is ReadingRound.ADJUDICATION:
                _check_settled(_compare(session, series.id, reading_id))
            else:
                own = decisions_of_readings(session, [series.id]).get(reading_id, ())
                refuse_flat_lesions(series, annotations, own)
            _add_event(session, reading_id, ReadingEventKind.COMPLETED, seconds)
            row = session.get_one(SeriesRow, series.id)
            row.is_complete, row.test_set_part = True, series.test_set_part or series.split.value
            return read_reading(session, reading_id)

    def reopen(self, reading_id: int) -> ReadingRecord:
        """Take back that a reading is complete. A series without another complete one leaves the test set.

        Raises
        ------
        StoreError
            If an adjudication of it has begun.
        """
        series_id = self.get(reading_id).series_id
        with self._writing(series_id) as session:
            known = read_readings(session, [series_id])
            reading = next(item for item in known if item.id == reading_id)
            if not reading.is_complete:
                return reading
            judged = next((item for item in known if item.round is ReadingRound.ADJUDICATION), None)
            if reading.round is ReadingRound.INDEPENDENT and judged is not None:
                raise StoreError(
                    f"{judged.reader} adjudicates this series since {judged.started_at:%Y-%m-%d}",
                    "A reading that is changed before it is compared with another one",
                    "Tell the adjudicator what should be otherwise",
                )
            _add_event(session, reading_id, ReadingEventKind.REOPENED)
            if not any(item.is_complete and item.id != reading_id for item in known):
                row = session.get_one(SeriesRow, series_id)
                row.is_complete, row.test_set_part = False, None
            return read_reading(session, reading_id)

    def get(self, reading_id: int) -> ReadingRecord:
        """Return one reading.

        Raises
        ------
        StoreError
            If there is none with this id.
        """
        with self.database.reading() as session:
            return read_reading(session, reading_id)

    def all(self) -> tuple[ReadingRecord, ...]:
        """Return the readings of every series, in the order in which they were begun."""
        with self.database.reading() as session:
            return read_readings(session)

    def lesions(self, reading_id: int) -> tuple[DecisionRecord, ...]:
        """Return the lesions that stand in a reading; ascending ids."""
        series_id = self.get(reading_id).series_id
        with self.database.reading() as session:
            return lesions_among(decisions_of_readings(session, [series_id]).get(reading_id, ()))

    def comparison(self, reading_id: int) -> Comparison:
        """Return the two readings that an adjudication is about, with what it says of the places where they differ.

        Raises
        ------
        StoreError
            If there are no two complete readings of the series.
        """
        series_id = self.get(reading_id).series_id
        with self.database.reading() as session:
            return _compare(session, series_id, reading_id)

    def settle(self, lesion_id: int, said: Decision) -> DecisionRecord:
        """Say in an adjudication whether there is a lesion where a reader marked `lesion_id`, and with which box.

        A withdrawal leaves the place open again. What the adjudication said of it before is taken back; of the rows
        both are stored or none.

        Raises
        ------
        StoreError
            If it is neither said to be a lesion nor to be none, it lies at no place where the readings differ, or the
            adjudication is not this reader's or is complete; see `Decisions.add`.
        """
        if said.reading_id is None or said.verdict not in SETTLING:
            raise StoreError(f"A place is settled as {said.verdict}", "A lesion, or none", "Report this as a defect")
        with self.database.reading() as session:
            comparison = _compare(session, said.series_id, said.reading_id)
        place = next((item for item in comparison.places if lesion_id in {one.id for one in item.marked}), None)
        if place is None:
            raise StoreError(
                f"The readings do not differ at lesion {lesion_id}",
                "A place that one reader marked and the other did not",
                "Show the series again",
            )
        rows = []
        if place.settled is not None:
            before = place.settled.decision
            taken_back = replace(said, verdict=Verdict.WITHDRAWN, box=before.box, slices=before.slices)
            rows.append(replace(taken_back, lesion_type=None, previous_id=place.settled.id))
        if said.verdict is not Verdict.WITHDRAWN:
            rows.append(replace(said, previous_id=lesion_id))
        if not rows:
            raise StoreError("There is nothing to withdraw", "A place that is settled", "Show the series again")
        return Decisions(self.database).add_together(rows)

    @contextmanager
    def _writing(self, series_id: int) -> Iterator[Session]:
        """Open a session in which readers of one series wait for each other."""
        with self.database.session() as session:
            session.get_one(SeriesRow, series_id, with_for_update=True)
            yield session

    def _happen(self, reading_id: int, kind: ReadingEventKind, seconds: float = 0.0) -> ReadingRecord:
        with self.database.session() as session:
            read_reading(session, reading_id)
            _add_event(session, reading_id, kind, seconds)
            return read_reading(session, reading_id)


def _add_event(session: Session, reading_id: int, kind: ReadingEventKind, seconds: float = 0.0) -> None:
    session.add(ReadingEventRow(reading_id=reading_id, kind=kind, seconds=seconds, happened_at=datetime.now(UTC)))
    session.flush()


def _check_room(known: Sequence[ReadingRecord], reading_round: ReadingRound) -> None:
    complete = [item.reader for item in known if item.round is reading_round and item.is_complete]
    if len(complete) >= reading_round.room:
        what = "an adjudication" if reading_round is ReadingRound.ADJUDICATION else "two readings"
        raise StoreError(
            f"The series has {what} by {' and '.join(sorted(complete))} already",
            "Two independent readings of a series, and one adjudication of them",
            "Choose another series",
        )


def _check_disputed(session: Session, series_id: int) -> None:
    item = read_series(session, [series_id]).get(series_id)
    if item is None or not item.is_disputed:
        raise StoreError(
            "There is nothing to adjudicate in the series",
            "A series with two complete readings that differ",
            "See which are disputed: lens testset",
        )


def _compare(session: Session, series_id: int, adjudication_id: int) -> Comparison:
    item = read_series(session, [series_id]).get(series_id)
    if item is None or item.comparison is None:
        raise StoreError(
            f"Series {series_id} has no two complete readings", "Two readings to compare", "See: lens testset"
        )
    first, second = item.lesions
    return compare(first, second, decisions_of_readings(session, [series_id]).get(adjudication_id, ()))


def _check_settled(comparison: Comparison) -> None:
    if comparison.open_places:
        raise StoreError(
            f"{comparison.open_places} of {len(comparison.places)} places where the readers differ are not settled",
            "Every place is a lesion, or none",
            "Settle them",
        )
