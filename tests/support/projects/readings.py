"""Readers who read a series: short ways to begin, mark, complete and settle."""

from dataclasses import dataclass
from datetime import UTC, datetime

from lens_engine.findings import Box3D, Decision, Verdict
from lens_engine.store.database import Database
from lens_engine.store.decisions import DecisionRecord, Decisions
from lens_engine.store.readings.readings import Readings
from lens_engine.store.readings.records import ReadingRecord, ReadingRound
from support.projects.store_samples import sections

BOX = (10.0, 10.0, 2.0, 20.0, 20.0, 6.0)
SHIFTED = (12.0, 10.0, 2.0, 22.0, 20.0, 6.0)
"""One lesion with `BOX`."""
OTHER = (40.0, 40.0, 10.0, 50.0, 50.0, 14.0)
THIRD = (10.0, 40.0, 20.0, 18.0, 50.0, 24.0)


@dataclass(frozen=True)
class Reader:
    """A person who reads one series in one round."""

    database: Database
    reading: ReadingRecord

    @classmethod
    def begin(
        cls, database: Database, series_id: int, name: str, in_round: ReadingRound = ReadingRound.INDEPENDENT
    ) -> "Reader":
        """Let a reader begin a reading, or go on with it."""
        return cls(database, Readings(database).start(series_id, name, in_round))

    def decision(self, verdict: Verdict, box: Box3D) -> Decision:
        """Return something that the reader says."""
        return Decision(
            self.reading.series_id,
            None,
            verdict,
            box,
            sections(box),
            self.reading.reader,
            datetime.now(UTC),
            round=self.reading.round,
            scores_hidden=True,
            reading_id=self.reading.id,
        )

    def mark(self, *boxes: Box3D) -> "Reader":
        """Mark lesions."""
        for box in boxes:
            Decisions(self.database).add(self.decision(Verdict.ADDED, box))
        return self

    def complete(self, seconds: float = 0.0) -> ReadingRecord:
        """Say that all are marked, or settled."""
        return Readings(self.database).complete(self.reading.id, seconds)

    def settle(self, lesion_id: int, verdict: Verdict, box: Box3D) -> DecisionRecord:
        """Say whether there is a lesion."""
        return Readings(self.database).settle(lesion_id, self.decision(verdict, box))


def read(database: Database, series_id: int, name: str, *boxes: Box3D) -> ReadingRecord:
    """Let a reader read a series completely."""
    return Reader.begin(database, series_id, name).mark(*boxes).complete()
