"""What is known of one reading: who, which series and round, how long, blind or not, complete or not.

A reading and what happens to it are rows that are never changed: what it is now follows from its events.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from lens_engine.errors import StoreError
from lens_engine.findings import Decision
from lens_engine.store.database import in_portions
from lens_engine.store.schema import ReaderRow, ReadingEventKind, ReadingEventRow, ReadingRow


class ReadingRound(IntEnum):
    """What a reading is for."""

    INDEPENDENT = 1
    """A reader marks every lesion, and knows of no other reader."""
    ADJUDICATION = 2
    """A reader settles the places where two complete readings differ."""

    @property
    def room(self) -> int:
        """How many complete readings a series has room for."""
        return 2 if self is ReadingRound.INDEPENDENT else 1


@dataclass(frozen=True, slots=True)
class ReadingRecord:
    """A reading as it is now.

    Attributes
    ----------
    completed_at
        None while it is not complete, or not any more.
    seconds
        How long the reader was at work on it.
    aids_shown_at
        When the reader first asked for what the model found; None for a blind reading.
    """

    id: int
    series_id: int
    reader: str
    round: ReadingRound
    started_at: datetime
    completed_at: datetime | None
    seconds: float
    aids_shown_at: datetime | None

    @property
    def is_complete(self) -> bool:
        """Whether the reader has said that every lesion is marked, or every place settled."""
        return self.completed_at is not None

    @property
    def is_blind(self) -> bool:
        """Whether the reader has seen nothing of what a model found."""
        return self.aids_shown_at is None


def read_readings(session: Session, series_ids: Sequence[int] | None = None) -> tuple[ReadingRecord, ...]:
    """Return the readings of some series, or of all, in the order in which they were begun."""
    query = select(ReadingRow, ReaderRow.name).join(ReaderRow, ReaderRow.id == ReadingRow.reader_id)
    portions = [None] if series_ids is None else list(in_portions(series_ids))
    rows = [
        (row, reader)
        for some in portions
        for row, reader in session.execute(query if some is None else query.where(ReadingRow.series_id.in_(some)))
    ]
    rows.sort(key=lambda found: found[0].id)
    events: dict[int, list[ReadingEventRow]] = {row.id: [] for row, _ in rows}
    for some in in_portions(list(events)):
        found = select(ReadingEventRow).where(ReadingEventRow.reading_id.in_(some)).order_by(ReadingEventRow.id)
        for event in session.scalars(found):
            events[event.reading_id].append(event)
    return tuple(_record(row, reader, events[row.id]) for row, reader in rows)


def read_reading(session: Session, reading_id: int) -> ReadingRecord:
    """Return one reading.

    Raises
    ------
    StoreError
        If there is none with this id.
    """
    row = session.get(ReadingRow, reading_id)
    if row is None:
        raise StoreError(f"There is no reading {reading_id}", "A reading of this project", "See: lens testset")
    return next(item for item in read_readings(session, [row.series_id]) if item.id == reading_id)


def check_open(session: Session, reading_id: int, decision: Decision) -> None:
    """Refuse a decision that does not belong into a reading, or comes after its end.

    Raises
    ------
    StoreError
        If there is no such reading, it is of another series, reader or round, or it is complete.
    """
    reading = read_reading(session, reading_id)
    if (reading.series_id, reading.reader, reading.round) != (decision.series_id, decision.reader, decision.round):
        raise StoreError(
            f"Reading {reading_id} is round {reading.round} of {reading.reader} in series {reading.series_id}",
            f"A reading of {decision.reader} in series {decision.series_id}, round {decision.round}",
            "Begin a reading of your own",
        )
    if reading.is_complete:
        raise StoreError(
            "The reading is complete", "A reading that is in progress", "Take the mark “complete” back first"
        )


def _record(row: ReadingRow, reader: str, events: Iterable[ReadingEventRow]) -> ReadingRecord:
    completed_at, aids_shown_at, seconds = None, None, 0.0
    for event in events:
        seconds += event.seconds
        if event.kind is ReadingEventKind.COMPLETED:
            completed_at = event.happened_at
        elif event.kind is ReadingEventKind.REOPENED:
            completed_at = None
        elif event.kind is ReadingEventKind.AIDS_SHOWN and aids_shown_at is None:
            aids_shown_at = event.happened_at
    return ReadingRecord(
        id=row.id,
        series_id=row.series_id,
        reader=reader,
        round=ReadingRound(row.round),
        started_at=row.started_at,
        completed_at=completed_at,
        seconds=seconds,
        aids_shown_at=aids_shown_at,
    )
