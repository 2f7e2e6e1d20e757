"""Findings that wait for a reader: one mining run after the other, the latest one asks.

Older runs stay for the audit trail, because decisions point to their candidates. What was decided about a place counts
for every later candidate there.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import insert, select

from lens_engine.errors import StoreError
from lens_engine.findings import Candidate, Finding, Reason, Rule, Split
from lens_engine.store.comments import Comment, axes_reader, comments_of
from lens_engine.store.database import ROWS_AT_A_TIME, Database
from lens_engine.store.decisions import DecisionRecord, SeriesDecisions, decisions_of
from lens_engine.store.mining_runs import begin_run, finish_run, latest_run
from lens_engine.store.queue.order import order_of_asking
from lens_engine.store.queue.outline import QueueOutline, asked_about, count_open, read_outline
from lens_engine.store.queue.siblings import siblings_of
from lens_engine.store.reading_at_once import collector_at_rest
from lens_engine.store.schema import (
    CandidateRow,
    DecisionRow,
    MiningRunRow,
    box_values,
)

PORTION = 1000
"""Candidates that are stored at a time: few enough that a reader's decision never waits."""


@dataclass(frozen=True, slots=True)
class CandidateRecord:
    """A candidate and what was decided about it.

    Attributes
    ----------
    priority
        How early to ask, in [0, 1]; greater is earlier.
    decision
        The one that counts, own or inherited; None where the place is open.
    inherited
        Whether it was made about another candidate, or none, at the same place.
    siblings
        The series of the same examination in which this lesion is asked about, too, and is decided along.
    comments
        What readers say of the place in their own words, the earliest first.
    axes_reader
        Who drew the axes of the decision; empty where it has none.
    """

    id: int
    candidate: Candidate
    model_version: str
    mining_run: int
    priority: float
    decision: DecisionRecord | None
    inherited: bool
    siblings: tuple[int, ...] = ()
    comments: tuple[Comment, ...] = ()
    axes_reader: str = ""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates of one database."""

    database: Database

    def replace_open(self, model_version: str, candidates: Sequence[Candidate], priorities: Sequence[float]) -> int:
        """Store a new mining run, which becomes the one that is asked about, and return its number.

        Raises
        ------
        StoreError
            If there is not one priority for each candidate.
        """
        if len(candidates) != len(priorities):
            raise StoreError(
                f"There are {len(candidates)} candidates and {len(priorities)} priorities",
                "One priority for each candidate is needed",
                "Report this as a defect",
            )
        return self.store_run(model_version, datetime.now(UTC), zip(candidates, priorities, strict=True))

    def store_run(self, model_version: str, begun_at: datetime, found: Iterable[tuple[Candidate, float]]) -> int:
        """Store a run portion by portion and return its number; until the last one, the run before is asked about.

        Parameters
        ----------
        begun_at
            Tells the run from others: one that is stored already is left alone, one that was cut off begins anew.
        found
            Candidates with their priorities; read once, and never all at the same time.
        """
        run_id, is_whole = begin_run(self.database, model_version, begun_at)
        if not is_whole:
            for portion in _portions(found):
                rows = [_values(run_id, candidate, value) for candidate, value in portion]
                with self.database.session() as session:
                    session.execute(insert(CandidateRow), rows)
            finish_run(self.database, run_id)
        return run_id

    def queue(self, *, split: Split | None = Split.TRAIN, include_decided: bool = False) -> tuple[CandidateRecord, ...]:
        """Return the candidates of the latest run in the order in which to ask.

        See `order_of_asking`. Those of the patients that are learnt from, unless another split is named; None names
        all.
        """
        with self.database.reading() as session:
            query = select(CandidateRow, MiningRunRow.model_version).join(
                MiningRunRow, MiningRunRow.id == CandidateRow.mining_run_id
            )
            query = asked_about(query, latest_run(), split)
            rows: list[tuple[CandidateRow, str]] = [(row, version) for row, version in session.execute(query)]
            decided = decisions_of(session, sorted({row.series_id for row, _ in rows}))
            records = [_record(row, version, decided[row.series_id]) for row, version in rows]
        return _ordered([record for record in records if include_decided or record.decision is None])

    def outline(self, split: Split | None = Split.TRAIN) -> QueueOutline:
        """Return the queue as columns, in the same order, decided candidates included: all at once, however many."""
        with collector_at_rest(), self.database.reading() as session:
            return read_outline(session, split)

    def count_open(self, split: Split) -> int:
        """Return how many candidates of the latest run wait, of the patients of one split."""
        with self.database.reading() as session:
            return count_open(session, split)

    def of_series(self, series_id: int, mining_run: int) -> tuple[CandidateRecord, ...]:
        """Return the candidates of one series in one run, decided or not, in the order in which they were found."""
        query = select(CandidateRow).where(
            CandidateRow.series_id == series_id, CandidateRow.mining_run_id == mining_run
        )
        with self.database.reading() as session:
            version = session.get_one(MiningRunRow, mining_run).model_version
            decided = decisions_of(session, [series_id])[series_id]
            rows = session.scalars(query.order_by(CandidateRow.id)).all()
            siblings = siblings_of(session, rows)
            records = [_record(row, version, decided) for row in rows]
            return tuple(
                replace(one, siblings=tuple(row.series_id for row in siblings.get(one.id, ()))) for one in records
            )

    def has_run(self) -> bool:
        """Return whether a mining was stored, whatever it found."""
        with self.database.reading() as session:
            return session.scalar(select(latest_run())) is not None

    def get(self, candidate_id: int) -> CandidateRecord:
        """Return one candidate of any run.

        Raises
        ------
        StoreError
            If there is none with this id.
        """
        with self.database.reading() as session:
            row = session.get(CandidateRow, candidate_id)
            if row is None:
                raise StoreError(
                    f"There is no candidate {candidate_id}", "A candidate of this project", "Reload the worklist"
                )
            version = session.get_one(MiningRunRow, row.mining_run_id).model_version
            return _record(row, version, decisions_of(session, [row.series_id])[row.series_id])

    def reasons_of_decided(self, series_id: int | None = None) -> dict[int, tuple[Reason, ...]]:
        """Return why each candidate was asked about that a decision names, whichever run it is of.

        Those of one series, or of all.
        """
        decided = select(DecisionRow.candidate_id).where(DecisionRow.candidate_id.is_not(None))
        if series_id is not None:
            decided = decided.where(DecisionRow.series_id == series_id)
        with self.database.reading() as session:
            rows = session.execute(select(CandidateRow.id, CandidateRow.reasons).where(CandidateRow.id.in_(decided)))
            return {row.id: _reasons(row.reasons) for row in rows}

    def latest(self, among: Collection[int] | None = None) -> dict[int, Candidate]:
        """Return the candidates of the latest run by their ids, decided or not, in the order in which they were found.

        For what is asked about and in which order, see `queue`.

        Parameters
        ----------
        among
            Ids that are wanted; None: all.
        """
        if among is not None and not among:
            return {}
        query = select(CandidateRow).where(CandidateRow.mining_run_id == latest_run()).order_by(CandidateRow.id)
        with self.database.reading() as session:
            rows = session.scalars(query, execution_options={"yield_per": ROWS_AT_A_TIME})
            return {row.id: _candidate(row) for row in rows if among is None or row.id in among}

    def counts_by_reason(self) -> dict[Rule, int]:
        """Return how many candidates of the latest run each rule asks about; one may have several reasons."""
        query = select(CandidateRow.reasons).where(CandidateRow.mining_run_id == latest_run())
        with self.database.reading() as session:
            found = session.scalars(query, execution_options={"yield_per": ROWS_AT_A_TIME})
            return dict(Counter(Rule(rule) for reasons in found for rule in {one["rule"] for one in reasons}))


def _portions(found: Iterable[tuple[Candidate, float]]) -> Iterator[list[tuple[Candidate, float]]]:
    rest = iter(found)
    while portion := list(islice(rest, PORTION)):
        yield portion


def _ordered(records: Sequence[CandidateRecord]) -> tuple[CandidateRecord, ...]:
    order = order_of_asking(
        [record.candidate.series_id for record in records],
        [record.priority for record in records],
        [record.decision is None for record in records],
    )
    return tuple(records[row] for row in order.tolist())


def _values(run_id: int, candidate: Candidate, priority: float) -> dict[str, Any]:
    finding = candidate.finding
    return {
        "mining_run_id": run_id,
        "series_id": candidate.series_id,
        "kind": candidate.kind,
        "priority": float(priority),
        "expert": finding.expert,
        "score": float(finding.score),
        "expert_scores": {name: float(score) for name, score in finding.expert_scores.items()},
        "reasons": [_reason_values(reason) for reason in candidate.reasons],
        **box_values(finding.box, finding.slices),
    }


def _reason_values(reason: Reason) -> dict[str, Any]:
    values = asdict(reason)
    numbers = {
        name: None if values[name] is None else float(values[name]) for name in ("distance", "distance_limit", "score")
    }
    return {**values, **numbers, "rule": reason.rule.value}


def _record(row: CandidateRow, model_version: str, decided: SeriesDecisions[DecisionRecord]) -> CandidateRecord:
    decision, is_inherited = decided.about(row.id, row.box)
    return CandidateRecord(
        id=row.id,
        candidate=_candidate(row),
        model_version=model_version,
        mining_run=row.mining_run_id,
        priority=row.priority,
        decision=decision,
        inherited=is_inherited,
        comments=comments_of(decided.back_from(decision)),
        axes_reader=axes_reader(decided.back_from(decision)),
    )


def _candidate(row: CandidateRow) -> Candidate:
    finding = Finding(row.expert, row.box, row.slice_boxes, row.score, dict(row.expert_scores))
    return Candidate(row.series_id, finding, row.kind, _reasons(row.reasons))


def _reasons(stored: Sequence[dict[str, Any]]) -> tuple[Reason, ...]:
    return tuple(Reason(**{**values, "rule": Rule(values["rule"])}) for values in stored)
