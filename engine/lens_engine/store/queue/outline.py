"""The queue as columns: what a list of very many lesions shows of each, without reading all that is stored of them.

One row for each candidate of the latest run, in the order in which to ask. What only the lesion on screen needs, its
cross-sections and the evidence for each reason, is read when it is shown.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import String, Text, cast, select, type_coerce
from sqlalchemy.orm import Session

from lens_engine.findings import FUSED, Box3D, CandidateKind, ReasonCode, RecistAxes, Rule, Split, Verdict
from lens_engine.store.comments import comments_of
from lens_engine.store.decisions import SeriesDecisions
from lens_engine.store.mining_runs import latest_run
from lens_engine.store.queue.order import order_of_asking
from lens_engine.store.schema import CandidateRow, DecisionRow, MiningRunRow, PatientRow, ReaderRow, SeriesRow, StudyRow

KINDS, RULES, VERDICTS = tuple(CandidateKind), tuple(Rule), tuple(Verdict)
OPEN = -1
"""Stands for the verdict where nobody has decided."""


@dataclass(frozen=True, slots=True, eq=False)
class QueueOutline:
    """The candidates of one mining run in the order in which to ask, decided ones included.

    Attributes
    ----------
    mining_run, model_version
        The run, and whose findings it has mined; None before the first one.
    experts
        Names of the columns of `scores`.
    ids, series_ids
        int64 (n,).
    kinds
        int8 (n,), numbers in `KINDS`.
    rules
        bool (n, len(RULES)): which rules ask about it.
    scores
        float64 (n, experts), what each expert says; NaN where it sees nothing.
    boxes
        float64 (n, 6), `[x1, y1, z1, x2, y2, z2]`.
    verdicts
        int8 (n,), numbers in `VERDICTS` of what counts, said of it or inherited; `OPEN` where nobody has decided.
    comments
        What readers say in their own words, a line each, by candidate id; only of those of whom they say anything.
    """

    mining_run: int | None
    model_version: str | None
    experts: tuple[str, ...]
    ids: NDArray[np.int64]
    series_ids: NDArray[np.int64]
    kinds: NDArray[np.int8]
    rules: NDArray[np.bool_]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]
    verdicts: NDArray[np.int8]
    comments: Mapping[int, str]

    @classmethod
    def empty(cls) -> "QueueOutline":
        """Return the outline of a project before its first mining."""
        return _outline([], None, None, _Heard(np.zeros(0, np.int8), {}))

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, rows: NDArray[np.int64]) -> "QueueOutline":
        """Return some candidates, in another order."""
        return QueueOutline(
            mining_run=self.mining_run,
            model_version=self.model_version,
            experts=self.experts,
            ids=self.ids[rows],
            series_ids=self.series_ids[rows],
            kinds=self.kinds[rows],
            rules=self.rules[rows],
            scores=self.scores[rows],
            boxes=self.boxes[rows],
            verdicts=self.verdicts[rows],
            comments=self.comments,
        )

    def middle_slices(self) -> NDArray[np.int64]:
        """Return the index of the middle slice of each candidate."""
        first, behind_last = self.boxes[:, 2], self.boxes[:, 5]
        return np.asarray(first + (behind_last - first) // 2, dtype=np.int64)

    def middle_slice(self, row: int) -> int:
        """Return the same of one candidate."""
        return int(self.rows(np.asarray([row])).middle_slices()[0])

    def rules_of(self, row: int) -> tuple[Rule, ...]:
        """Return the rules that ask about one candidate."""
        return tuple(rule for rule, asks in zip(RULES, self.rules[row], strict=True) if asks)

    def surest(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return which expert is surest of each candidate, by its column, and its score.

        The fusion stands for them where no expert is known to see the place.
        """
        if not self.experts:
            return np.zeros(len(self), np.int64), np.zeros(len(self))
        heard = np.nan_to_num(self.scores, nan=-1.0)
        if FUSED in self.experts:
            fused = self.experts.index(FUSED)
            seen_by_others = (np.delete(heard, fused, axis=1) >= 0).any(axis=1)
            heard[seen_by_others, fused] = -1.0
        surest = heard.argmax(axis=1)
        return surest, heard[np.arange(len(self)), surest]


def read_outline(session: Session, split: Split | None) -> QueueOutline:
    """Return the outline of the latest run, of the patients of one split or of all."""
    run = session.execute(
        select(MiningRunRow.id, MiningRunRow.model_version).where(MiningRunRow.id == latest_run())
    ).one_or_none()
    if run is None:
        return QueueOutline.empty()
    query = asked_about(select(*_COLUMNS), run.id, split)
    rows = session.execute(query).all()
    heard, priorities = _hear(session, rows, run.id), [row.priority for row in rows]
    found = _outline(rows, run.id, run.model_version, heard)
    return found.rows(order_of_asking(found.series_ids, priorities, found.verdicts == OPEN))


def count_open(session: Session, split: Split) -> int:
    """Return how many candidates of the latest run nobody has decided about, of the patients of one split."""
    rows = session.execute(asked_about(select(CandidateRow.id, CandidateRow.series_id, *_EDGES), latest_run(), split))
    return int((_hear(session, rows.all(), latest_run()).verdicts == OPEN).sum())


def asked_about(query: Any, run: Any, split: Split | None) -> Any:  # Select's types differ in SQLAlchemy 2.0 and 2.1
    """Narrow a query of candidates to those of a run, of the patients of one split or of all, as they were found."""
    query = query.where(CandidateRow.mining_run_id == run).order_by(CandidateRow.id)
    if split is None:
        return query
    return (
        query.join(SeriesRow, SeriesRow.id == CandidateRow.series_id)
        .join(StudyRow, StudyRow.id == SeriesRow.study_id)
        .join(PatientRow, PatientRow.id == StudyRow.patient_id)
        .where(PatientRow.split == split)
    )


_EDGES = (CandidateRow.x1, CandidateRow.y1, CandidateRow.z1, CandidateRow.x2, CandidateRow.y2, CandidateRow.z2)
_COLUMNS = (
    CandidateRow.id,
    CandidateRow.series_id,
    *_EDGES,
    type_coerce(CandidateRow.kind, String).label("kind"),
    CandidateRow.priority,
    CandidateRow.expert,
    CandidateRow.score,
    cast(CandidateRow.expert_scores, Text).label("expert_scores"),  # read all at once, in `_outline`
    cast(CandidateRow.reasons, Text).label("reasons"),
)


@dataclass(frozen=True, slots=True)
class _Said:
    """What the rules and a list need to know of a decision: no cross-sections."""

    id: int
    previous_id: int | None
    candidate_id: int | None
    mining_run: int | None
    verdict: Verdict
    reason_code: ReasonCode | None
    box: Box3D
    reader: str
    comment: str
    axes: RecistAxes | None = None
    """Not read: no list shows them."""


@dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    """The verdict that counts for each candidate, as its number, and what readers say in words, by candidate id."""

    verdicts: NDArray[np.int8]
    comments: dict[int, str]


def _hear(session: Session, rows: Sequence[Any], run: Any) -> _Heard:
    number = {verdict: i for i, verdict in enumerate(VERDICTS)}
    decided = _decided(session, run)
    heard = _Heard(np.full(len(rows), OPEN, dtype=np.int8), {})
    for i, row in enumerate(rows):
        series = decided.get(row.series_id)
        if series is not None:
            said, _ = series.about(row.id, row[2:8])
            if said is not None:
                heard.verdicts[i] = number[said.verdict]
                words = comments_of(series.back_from(said))
                if words:
                    heard.comments[row.id] = "\n".join(one.text for one in words)
    return heard


def _decided(session: Session, run: Any) -> dict[int, SeriesDecisions[_Said]]:
    """Return what was said of every series of a run in which anything was decided."""
    asked_series = select(CandidateRow.series_id).where(CandidateRow.mining_run_id == run)
    query = (
        select(
            DecisionRow.series_id,
            DecisionRow.id,
            DecisionRow.previous_id,
            DecisionRow.candidate_id,
            CandidateRow.mining_run_id,
            DecisionRow.verdict,
            DecisionRow.reason_code,
            ReaderRow.name,
            DecisionRow.comment,
            *(getattr(DecisionRow, edge.key) for edge in _EDGES),
        )
        .join(ReaderRow, ReaderRow.id == DecisionRow.reader_id)
        .outerjoin(CandidateRow, CandidateRow.id == DecisionRow.candidate_id)
        .where(DecisionRow.series_id.in_(asked_series), DecisionRow.reading_id.is_(None))
        .order_by(DecisionRow.id)
    )
    histories: dict[int, list[_Said]] = defaultdict(list)
    for row in session.execute(query):
        series_id, own, previous, candidate, mining_run, verdict, reason, reader, comment, *box = row
        said = _Said(own, previous, candidate, mining_run, verdict, reason, tuple(box), reader, comment)
        histories[series_id].append(said)
    return {series_id: SeriesDecisions.of(history) for series_id, history in histories.items()}


def _outline(rows: Sequence[Any], mining_run: int | None, model_version: str | None, heard: _Heard) -> QueueOutline:
    said_by_experts = _parsed([row.expert_scores for row in rows])
    scores = [{row.expert: row.score, **said} for row, said in zip(rows, said_by_experts, strict=True)]
    experts = tuple(dict.fromkeys(chain.from_iterable(scores)))
    rule_number = {rule.value: i for i, rule in enumerate(RULES)}
    kind_number = {kind.value: i for i, kind in enumerate(KINDS)}
    rules = np.zeros((len(rows), len(RULES)), dtype=np.bool_)
    for i, reasons in enumerate(_parsed([row.reasons for row in rows])):
        for reason in reasons:
            rules[i, rule_number[reason["rule"]]] = True
    return QueueOutline(
        mining_run=mining_run,
        model_version=model_version,
        experts=experts,
        ids=np.asarray([row.id for row in rows], dtype=np.int64),
        series_ids=np.asarray([row.series_id for row in rows], dtype=np.int64),
        kinds=np.asarray([kind_number[row.kind] for row in rows], dtype=np.int8),
        rules=rules,
        scores=np.asarray([list(map(said.get, experts)) for said in scores], dtype=np.float64).reshape(
            len(rows), len(experts)
        ),  # None, where an expert sees nothing, becomes NaN
        boxes=np.asarray([row[2:8] for row in rows], dtype=np.float64).reshape(len(rows), 6),
        verdicts=heard.verdicts,
        comments=heard.comments,
    )


def _parsed(texts: Sequence[str]) -> list[Any]:
    """Return what JSON texts say: one long text is read many times faster than many short ones."""
    values: list[Any] = json.loads(f"[{','.join(texts)}]")
    return values
