"""What readers decided: appended, never changed. Undoing is one more row.

A decision belongs to a place in a scan, and to the review unless it names a reading of the test set: what is said in a
reading is known in that reading alone (`store.readings`). `SeriesDecisions` answers which decision counts for a
candidate: its own latest one, or the one about the same place that it inherits.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from lens_engine.boxes import as_boxes
from lens_engine.errors import StoreError
from lens_engine.findings import (
    MAX_COMMENT,
    POSITIVE_VERDICTS,
    Box3D,
    Decision,
    ReasonCode,
    RecistAxes,
    Verdict,
    box_from_slices,
    is_copy,
)
from lens_engine.geometry import VolumeGeometry
from lens_engine.store.audit.chain import next_link
from lens_engine.store.audit.heads import head_to_follow
from lens_engine.store.catalog import known_lesion_types
from lens_engine.store.comments import Comment, comments_of
from lens_engine.store.database import ROWS_AT_A_TIME, Database
from lens_engine.store.decision_rules import Linked, best_match, standing_ids, touch
from lens_engine.store.queue.siblings import siblings_of, slices_in
from lens_engine.store.readings.records import check_open
from lens_engine.store.schema import CandidateRow, DecisionRow, ReaderRow, SeriesRow, box_values

Said = TypeVar("Said", bound=Linked)


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A stored decision; later ones have greater ids."""

    id: int
    decision: Decision
    mining_run: int | None = None
    """The mining run that asked about the candidate."""
    comments: tuple[Comment, ...] = ()
    """What readers say of a lesion that was added, the earliest first; see `Decisions.added`."""

    @property
    def previous_id(self) -> int | None:
        """The decision that it follows."""
        return self.decision.previous_id

    @property
    def candidate_id(self) -> int | None:
        """The candidate that was on screen."""
        return self.decision.candidate_id

    @property
    def verdict(self) -> Verdict:
        """What was said."""
        return self.decision.verdict

    @property
    def reason_code(self) -> ReasonCode | None:
        """Why it was rejected."""
        return self.decision.reason_code

    @property
    def box(self) -> Box3D:
        """What it was said about."""
        return self.decision.box

    @property
    def reader(self) -> str:
        """Who said it."""
        return self.decision.reader

    @property
    def comment(self) -> str:
        """The reader's own words."""
        return self.decision.comment

    @property
    def axes(self) -> RecistAxes | None:
        """The lesion's diameters."""
        return self.decision.axes


class SettledError(StoreError):
    """The place was settled meanwhile, by another reader or in another window; carries what was said."""

    def __init__(self, counting: DecisionRecord) -> None:
        said = counting.decision
        super().__init__(
            f"{said.reader} has said meanwhile: {said.verdict}",
            "A reader who knows what was said before",
            "Decide again, if it should be otherwise",
        )
        self.counting = counting


@dataclass(frozen=True, slots=True)
class Committed:
    """A decision that is on disk.

    Attributes
    ----------
    record
        As it is stored.
    along
        What counts since then for the candidates that show the same lesion in sibling series, where that has changed,
        by their ids; None for one that is open.
    """

    record: DecisionRecord
    along: Mapping[int, DecisionRecord | None]


@dataclass(frozen=True, slots=True)
class SeriesDecisions(Generic[Said]):
    """Everything that was decided in one series.

    Attributes
    ----------
    current
        The decisions that nothing has ended, withdrawn ones left out; ascending ids.
    own
        The latest row about each candidate that nothing has ended, withdrawn ones included.
    rows
        Every row by its id.
    """

    current: tuple[Said, ...]
    own: dict[int, Said]
    rows: dict[int, Said]

    @classmethod
    def of(cls, history: Sequence[Said]) -> "SeriesDecisions[Said]":
        """Sort out the history of one series."""
        ids = standing_ids(history)
        standing = sorted((record for record in history if record.id in ids), key=lambda record: record.id)
        return cls(
            current=tuple(record for record in standing if record.verdict is not Verdict.WITHDRAWN),
            own={record.candidate_id: record for record in standing if record.candidate_id is not None},
            rows={record.id: record for record in history},
        )

    def back_from(self, said: Said | None) -> Iterator[Said]:
        """Yield a decision and, one after the other, those that it follows."""
        while said is not None:
            yield said
            said = self.rows.get(said.previous_id or 0)

    def about(self, candidate_id: int, box: Box3D) -> tuple[Said | None, bool]:
        """Return the decision that counts for a candidate, and whether it was inherited by place.

        What was said about the candidate itself always wins. A copy is not inherited: its original lies there.
        """
        own = self.own.get(candidate_id)
        if own is not None and own.verdict is not Verdict.WITHDRAWN:
            return own, False
        near = [record for record in self.current if touch(record.box, box)]
        if not near:
            return None, False
        heard = [record for record in near if not is_copy(record.verdict, record.reason_code)]
        index = best_match([(record.box, record.verdict) for record in heard], box)
        return (None, False) if index is None else (heard[index], True)


@dataclass(frozen=True, slots=True)
class Decisions:
    """The decisions of one database."""

    database: Database

    def add(self, decision: Decision) -> DecisionRecord:
        """Append one decision and return it as stored, on disk when this returns.

        Where it names no previous decision, it follows the one that counts for its candidate, so that two readers who
        decide at once leave two linked rows. Whether that one ends with it, `decision_rules` says. Its round comes
        from what it follows, but in a reading, which has one.

        Raises
        ------
        StoreError
            If there is no such series, the candidate or previous decision is not of it, nothing can be withdrawn, no
            data set labels the lesion's type, the comment is too long, the axes lie beside the box, or its reading is
            another reader's or complete.
        BoxError
            If the box is not one.
        """
        with _writing(self.database, decision) as session:
            return _append(session, _followed(session, decision))

    def add_seen(self, decision: Decision, seen: Decision | None) -> Committed:
        """Append the decision of a reader who believes that `seen` counts for the candidate; see `add`.

        What the same lesion is asked about in sibling series (see `queue.siblings`) is decided along, and taken back
        along, but where a reader has said something there himself. A copy says nothing of the lesion: it takes back
        what went along.

        Raises
        ------
        SettledError
            If another reader has said something about the place that this one has not seen, or he himself has said
            something about the candidate in another window. Nothing is stored.
        """
        with _writing(self.database, decision) as session:
            if decision.candidate_id is not None:
                here = _here(session, decision.candidate_id)
                if here.counts is not None and _is_news(here.counts.decision, seen, decision):
                    raise SettledError(here.counts)
                decision = _following(decision, here)
            stored = _append(session, decision)
            return Committed(stored, _decide_along(session, stored))

    def change_added(self, added_id: int, said: Decision) -> DecisionRecord:
        """Append what is said now of a lesion that a reader added, and return the row as stored.

        It is the lesion with another box, type, comment or axes, or a withdrawal: the lesion is deleted. Each takes the
        lesion back as it was, without a word; of the two rows of a change both are stored or none.

        Raises
        ------
        StoreError
            If no reader added the lesion, or it does not stand any more; see `add`. Nothing is stored.
        """
        with _writing(self.database, said) as session:
            added = _standing_added(session, added_id, said.series_id, said.reading_id).decision
            withdrawal = replace(
                said,
                verdict=Verdict.WITHDRAWN,
                box=added.box,
                slices=added.slices,
                previous_id=added_id,
                lesion_type=None,
                comment="",
                axes=None,
            )
            taken_back = _append(session, withdrawal)
            if said.verdict is Verdict.WITHDRAWN:
                return taken_back
            return _append(session, replace(said, previous_id=taken_back.id))

    def add_together(self, decisions: Sequence[Decision]) -> DecisionRecord:
        """Append several decisions about one series, all of them or none, and return the last one as stored.

        Raises
        ------
        StoreError
            See `add`. Nothing is stored.
        """
        with _writing(self.database, decisions[-1]) as session:
            return [_append(session, _followed(session, decision)) for decision in decisions][-1]

    def history(self, series_id: int) -> tuple[DecisionRecord, ...]:
        """Return every row about a series but those of readings, oldest first: the audit trail."""
        with self.database.reading() as session:
            return tuple(_read(session, [series_id]))

    def current(self, series_id: int | None = None) -> tuple[DecisionRecord, ...]:
        """Return the decisions that nothing has ended, of one series or of all.

        Withdrawn ones are left out, and those of readings.
        """
        with self.database.reading() as session:
            grouped = decisions_of(session, None if series_id is None else [series_id])
        found = [record for series in grouped.values() for record in series.current]
        return tuple(sorted(found, key=_by_id))

    def current_by_series(self) -> dict[int, tuple[DecisionRecord, ...]]:
        """Return the same of all, by the id of their series; of a series in the order in which they were said."""
        with self.database.reading() as session:
            grouped = decisions_of(session, None)
        return {series_id: tuple(sorted(found.current, key=_by_id)) for series_id, found in grouped.items()}

    def decided_by(self, reader: str, since: datetime) -> frozenset[int]:
        """Return the candidates about which a reader has decided since a moment, but those decided along with another.

        What he took back is none of them.
        """
        query = (
            select(DecisionRow.candidate_id, DecisionRow.verdict)
            .join(ReaderRow, ReaderRow.id == DecisionRow.reader_id)
            .where(ReaderRow.name == reader, DecisionRow.decided_at >= since, DecisionRow.candidate_id.is_not(None))
            .where(DecisionRow.along_id.is_(None))
            .order_by(DecisionRow.id)
        )
        with self.database.reading() as session:
            last_words = {row.candidate_id: row.verdict for row in session.execute(query)}
        return frozenset(number for number, said in last_words.items() if said is not Verdict.WITHDRAWN)

    def added(self, series_id: int) -> tuple[DecisionRecord, ...]:
        """Return the lesions of a series that readers added without being asked, and that stand; ascending ids."""
        with self.database.reading() as session:
            series = decisions_of(session, [series_id])[series_id]
        added = (record for record in series.current if _is_added(record))
        return tuple(replace(record, comments=comments_of(series.back_from(record))) for record in added)

    def counts(self) -> dict[Verdict, int]:
        """Return how many places have which verdict."""
        return dict(Counter(record.decision.verdict for record in self.current()))


def _by_id(record: DecisionRecord) -> int:
    return record.id


def decisions_of(session: Session, series_ids: Sequence[int] | None) -> dict[int, SeriesDecisions[DecisionRecord]]:
    """Return the decisions of the given series (None: of every series with decisions); those of readings are none."""
    histories: dict[int, list[DecisionRecord]] = {series_id: [] for series_id in series_ids or ()}
    for record in _read(session, series_ids):
        histories.setdefault(record.decision.series_id, []).append(record)
    return {series_id: SeriesDecisions.of(history) for series_id, history in histories.items()}


def decisions_of_readings(session: Session, series_ids: Sequence[int] | None) -> dict[int, tuple[DecisionRecord, ...]]:
    """Return what stands in each reading of the given series (None: of all), by the id of the reading."""
    histories: dict[int, list[DecisionRecord]] = {}
    for record in _read(session, series_ids, of_readings=True):
        histories.setdefault(record.decision.reading_id or 0, []).append(record)
    return {reading_id: SeriesDecisions.of(history).current for reading_id, history in histories.items()}


def reader_id(session: Session, name: str) -> int:
    """Return the row of a reader, who is added where he is new."""
    query = select(ReaderRow.id).where(ReaderRow.name == name)
    known = session.scalar(query)
    if known is not None:
        return known
    try:
        with session.begin_nested():
            row = ReaderRow(name=name)
            session.add(row)
        return row.id
    except IntegrityError:  # another process added the same reader a moment ago
        return session.scalars(query).one()


@contextmanager
def _writing(database: Database, decision: Decision) -> Iterator[Session]:
    """Open a session in which readers of one examination wait for each other."""
    as_boxes([decision.box], 3)
    study = select(SeriesRow.study_id).where(SeriesRow.id == decision.series_id).scalar_subquery()
    with database.session() as session:
        # The lock is for databases that have none of their own for writers; in one order, so that none waits for ever.
        ids = select(SeriesRow.id).where(SeriesRow.study_id == study).order_by(SeriesRow.id).with_for_update()
        if decision.series_id not in session.scalars(ids).all():
            raise StoreError(
                f"There is no series {decision.series_id}", "A series of this project", "Reload the worklist"
            )
        yield session


def _append(session: Session, decision: Decision) -> DecisionRecord:
    """Append a decision that names the one that it follows, where there is one."""
    _check(session, decision)
    _check_type(session, decision)
    _check_comment(decision)
    _check_axes(decision)
    if decision.reading_id is None:
        decision = replace(decision, round=_round(session, decision))
    else:
        check_open(session, decision.reading_id, decision)
    values = {
        "series_id": decision.series_id,
        "candidate_id": decision.candidate_id,
        "previous_id": decision.previous_id,
        "verdict": decision.verdict,
        "reason_code": decision.reason_code,
        "round": decision.round,
        "scores_hidden": decision.scores_hidden,
        "decided_at": decision.decided_at,
        "lesion_type": decision.lesion_type,
        "comment": decision.comment,
        "axes": None if decision.axes is None else asdict(decision.axes),
        "along_id": decision.along_id,
        "reading_id": decision.reading_id,
        **box_values(decision.box, decision.slices),
    }
    reader = reader_id(session, decision.reader)
    chain_hash = next_link(head_to_follow(session, reader), values)
    row = DecisionRow(reader_id=reader, chain_hash=chain_hash, **values)
    session.add(row)
    session.flush()
    asked = None if decision.candidate_id is None else _candidate(session, decision.candidate_id)
    return DecisionRecord(row.id, decision, None if asked is None else asked.mining_run_id)


def _round(session: Session, decision: Decision) -> int:
    """Return the round of a decision of the review: one more wherever a reader follows another one."""
    if decision.previous_id is None:
        return 1
    followed = select(DecisionRow.round, ReaderRow.name).join(ReaderRow, ReaderRow.id == DecisionRow.reader_id)
    previous = session.execute(followed.where(DecisionRow.id == decision.previous_id)).one_or_none()
    if previous is None:
        return 1
    return int(previous.round) + int(previous.name != decision.reader)


def _decide_along(session: Session, stored: DecisionRecord) -> dict[int, DecisionRecord | None]:
    said = stored.decision
    if said.candidate_id is None:
        return {}
    asked = _candidate(session, said.candidate_id)
    siblings = siblings_of(session, [asked]).get(asked.id, ())
    here = _geometry(session, said.series_id) if siblings else None
    if here is None:
        return {}
    if said.is_copy:
        said = replace(said, verdict=Verdict.WITHDRAWN, reason_code=None, comment="")
    along: dict[int, DecisionRecord | None] = {}
    for sibling in siblings:
        there, heard = _geometry(session, sibling.series_id), _here(session, sibling.id)
        if there is not None and _goes_along(heard.counts, sibling, said.verdict):
            decision = replace(
                said, series_id=sibling.series_id, candidate_id=sibling.id, previous_id=None, along_id=stored.id,
                box=sibling.box, slices=sibling.slice_boxes, axes=None,
            )  # fmt: skip
            if said.verdict is Verdict.ADJUSTED and (slices := slices_in(said.slices, here, there)):
                decision = replace(decision, box=box_from_slices(slices), slices=slices)
            _append(session, _following(decision, heard))
            along[sibling.id] = _here(session, sibling.id).counts
    return along


def _goes_along(counts: DecisionRecord | None, sibling: CandidateRow, verdict: Verdict) -> bool:
    """Return whether a verdict holds for a sibling, too: nobody has said anything of it but along with another."""
    if counts is None:
        return verdict is not Verdict.WITHDRAWN
    is_its_own = counts.candidate_id == sibling.id
    is_earlier = counts.mining_run != sibling.mining_run_id and verdict is not Verdict.WITHDRAWN
    return counts.decision.along_id is not None and (is_its_own or is_earlier)


def _geometry(session: Session, series_id: int) -> VolumeGeometry | None:
    stored = session.get_one(SeriesRow, series_id).geometry
    return None if stored is None else VolumeGeometry.from_dict(stored)


def _is_added(record: DecisionRecord) -> bool:
    return record.verdict is Verdict.ADDED and record.candidate_id is None


def _standing_added(session: Session, added_id: int, series_id: int, reading_id: int | None) -> DecisionRecord:
    if reading_id is None:
        standing = decisions_of(session, [series_id])[series_id].current
    else:
        standing = decisions_of_readings(session, [series_id]).get(reading_id, ())
    found = next((record for record in standing if record.id == added_id and _is_added(record)), None)
    if found is None:
        raise StoreError(
            f"Decision {added_id} is no lesion that a reader added, or was taken back meanwhile",
            "A lesion that a reader added and that stands",
            "Show the series again",
        )
    return found


def _is_news(counting: Decision, seen: Decision | None, said: Decision) -> bool:
    """Return whether what counts is not what the reader has seen: another's words, or later ones from another window.

    Of his own, only what he said of the candidate itself is meant: the rest came along with what he does now.
    """
    if seen is not None and (counting.reader, counting.decided_at) == (seen.reader, seen.decided_at):
        return False
    if counting.reader != said.reader:
        return True
    is_own_word = counting.candidate_id == said.candidate_id and counting.along_id is None
    return is_own_word and (seen is None or counting.decided_at > seen.decided_at)


@dataclass(frozen=True, slots=True)
class _Here:
    """What was said until now about one candidate.

    Attributes
    ----------
    counts
        What counts for it.
    own
        Its own latest row, which may be a withdrawn one.
    """

    candidate: CandidateRow
    counts: DecisionRecord | None
    own: DecisionRecord | None

    @property
    def followed_id(self) -> int | None:
        """The row that a new decision follows: what counts here, or its own withdrawn one.

        What was said of another candidate of the same run is not followed: it stays as it is.
        """
        counts, asked = self.counts, self.candidate
        if counts is not None and (counts.candidate_id == asked.id or counts.mining_run != asked.mining_run_id):
            return counts.id
        return None if self.own is None else self.own.id


def _here(session: Session, candidate_id: int) -> _Here:
    candidate = _candidate(session, candidate_id)
    series = decisions_of(session, [candidate.series_id])[candidate.series_id]
    return _Here(candidate, series.about(candidate.id, candidate.box)[0], series.own.get(candidate.id))


def _followed(session: Session, decision: Decision) -> Decision:
    """Return a decision that names what counts for its candidate, unless it names a previous one."""
    if decision.candidate_id is None or decision.previous_id is not None:
        return decision
    return _following(decision, _here(session, decision.candidate_id))


def _following(decision: Decision, here: _Here) -> Decision:
    return decision if decision.previous_id is not None else replace(decision, previous_id=here.followed_id)


def _check(session: Session, decision: Decision) -> None:
    if decision.candidate_id is not None and _candidate(session, decision.candidate_id).series_id != decision.series_id:
        raise StoreError(
            f"Candidate {decision.candidate_id} does not belong to series {decision.series_id}",
            "A decision about a candidate names the series it lies in",
            "Report this as a defect",
        )
    if decision.previous_id is not None:
        previous = session.get(DecisionRow, decision.previous_id)
        if previous is None or previous.series_id != decision.series_id:
            raise StoreError(
                f"There is no decision {decision.previous_id} in series {decision.series_id}",
                "The previous decision of the same series",
                "Reload the worklist",
            )
    elif decision.verdict is Verdict.WITHDRAWN:
        raise StoreError("There is nothing to withdraw", "A decision about this place", "Reload the worklist")


def _check_type(session: Session, decision: Decision) -> None:
    if decision.lesion_type is None:
        return
    if decision.verdict not in POSITIVE_VERDICTS:
        raise StoreError(
            f"A place is {decision.verdict} and has the lesion type {decision.lesion_type!r}",
            "Only what is a lesion has a type",
            "Accept it, or leave the type out",
        )
    known = known_lesion_types(session)
    if decision.lesion_type not in known:
        raise StoreError(
            f"No data set of the project labels lesions of the type {decision.lesion_type!r}",
            f"One of {', '.join(map(repr, known)) or 'none yet'} is needed",
            "Choose one of them, leave the type out, or add a data set of it: lens add PATH --dataset --lesion-type",
        )


def _check_comment(decision: Decision) -> None:
    if len(decision.comment) > MAX_COMMENT:
        raise StoreError(
            f"The comment has {len(decision.comment)} characters",
            f"At most {MAX_COMMENT} characters",
            "Shorten the comment",
        )


def _check_axes(decision: Decision) -> None:
    axes = decision.axes
    if axes is not None and not decision.box[2] <= axes.slice_index < decision.box[5]:
        raise StoreError(
            f"The axes lie on slice {axes.slice_index}, the box on slices {decision.box[2]:g} to {decision.box[5]:g}",
            "Axes on a slice of the lesion",
            "Draw them on a slice that the box covers",
        )


def _axes(stored: dict[str, Any]) -> RecistAxes:
    short = stored["short_axis"]
    return RecistAxes(stored["slice_index"], tuple(stored["long_axis"]), None if short is None else tuple(short))


def _candidate(session: Session, candidate_id: int) -> CandidateRow:
    row = session.get(CandidateRow, candidate_id)
    if row is None:
        raise StoreError(f"There is no candidate {candidate_id}", "A candidate of this project", "Reload the worklist")
    return row


def _read(session: Session, series_ids: Sequence[int] | None, *, of_readings: bool = False) -> Iterable[DecisionRecord]:
    query = (
        select(DecisionRow, ReaderRow.name, CandidateRow.mining_run_id)
        .join(ReaderRow, ReaderRow.id == DecisionRow.reader_id)
        .outerjoin(CandidateRow, CandidateRow.id == DecisionRow.candidate_id)
        .where(DecisionRow.reading_id.is_not(None) if of_readings else DecisionRow.reading_id.is_(None))
    )
    if series_ids is not None and len(series_ids) <= 500:  # databases limit the values of one statement
        query = query.where(DecisionRow.series_id.in_(series_ids))
        wanted = None
    else:
        wanted = None if series_ids is None else set(series_ids)
    query = query.order_by(DecisionRow.id).execution_options(yield_per=ROWS_AT_A_TIME)
    for row, reader, mining_run in session.execute(query):
        if wanted is None or row.series_id in wanted:
            yield _record(row, reader, mining_run)


def _record(row: DecisionRow, reader: str, mining_run: int | None) -> DecisionRecord:
    return DecisionRecord(
        row.id,
        Decision(
            series_id=row.series_id,
            candidate_id=row.candidate_id,
            verdict=row.verdict,
            box=row.box,
            slices=row.slice_boxes,
            reader=reader,
            decided_at=row.decided_at,
            round=row.round,
            reason_code=row.reason_code,
            scores_hidden=row.scores_hidden,
            previous_id=row.previous_id,
            lesion_type=row.lesion_type,
            comment=row.comment,
            axes=None if row.axes is None else _axes(row.axes),
            along_id=row.along_id,
            reading_id=row.reading_id,
        ),
        mining_run,
    )
