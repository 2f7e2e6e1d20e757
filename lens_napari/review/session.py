"""The review in plain Python: the queue of lesions, the one on screen, what was said, and what is on disk.

No Qt and no napari. The session never writes: it hands out `Write` values in the order in which they must be committed,
and is told afterwards whether each one is on disk.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count

from lens_engine.errors import LensError
from lens_engine.findings import (
    POSITIVE_VERDICTS,
    Box3D,
    Decision,
    ReasonCode,
    Rule,
    SliceBox,
    Verdict,
    box_from_slices,
    slices_of_box,
)
from lens_engine.store.candidates import CandidateRecord
from lens_napari.review.box_table import BoxState

STATE_OF_VERDICT = {
    Verdict.ACCEPTED: BoxState.ACCEPTED,
    Verdict.ADJUSTED: BoxState.ACCEPTED,
    Verdict.ADDED: BoxState.ACCEPTED,
    Verdict.REJECTED: BoxState.REJECTED,
    Verdict.UNSURE: BoxState.UNSURE,
}


class SaveState(StrEnum):
    """Where the last verdict of a lesion is."""

    UNTOUCHED = "untouched"
    PENDING = "pending"
    """Said, not yet on disk."""
    SAVED = "saved"
    FAILED = "failed"
    SETTLED = "settled"
    """Not saved: another reader had settled the lesion meanwhile."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One lesion of the queue.

    Attributes
    ----------
    decision
        What holds now, own or inherited; None while the lesion is open.
    """

    record: CandidateRecord
    decision: Decision | None
    save_state: SaveState = SaveState.UNTOUCHED

    @property
    def verdict(self) -> Verdict | None:
        """The verdict that holds."""
        return self.decision.verdict if self.decision else None

    @property
    def state(self) -> BoxState:
        """How its box is drawn when it is not the one asked about."""
        return STATE_OF_VERDICT.get(self.decision.verdict, BoxState.PLAIN) if self.decision else BoxState.PLAIN

    @property
    def is_adjusted(self) -> bool:
        """Whether a reader has changed its box."""
        return self.decision is not None and self.decision.verdict is Verdict.ADJUSTED

    @property
    def slices(self) -> tuple[SliceBox, ...]:
        """Its cross-sections: as a reader has changed them, or as they were found."""
        if self.decision is not None and self.is_adjusted:
            return self.decision.slices or slices_of_box(self.decision.box)
        return self.record.candidate.finding.slices

    @property
    def box(self) -> Box3D:
        """Its box: as a reader has changed it, or as it was found."""
        if self.decision is not None and self.is_adjusted:
            return self.decision.box
        return self.record.candidate.finding.box


@dataclass(frozen=True, slots=True)
class Write:
    """A decision to commit.

    Attributes
    ----------
    ticket
        Names it in the answer.
    seen
        What held for the lesion until then, as far as this reader knows.
    """

    ticket: int
    decision: Decision
    seen: Decision | None


@dataclass(frozen=True, slots=True)
class _Step:
    """One undoable change of one lesion; acts are numbered in their order."""

    act: int
    position: int
    before: Decision | None
    after: Decision | None


@dataclass(frozen=True, slots=True)
class Filtered:
    """What a filter leaves of the queue."""

    rule: Rule
    total: int
    open: int


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts for the summary."""

    total: int
    open: int
    accepted: int
    rejected: int
    unsure: int
    decided_now: int
    pending: int


def now() -> datetime:
    """Return the time of a decision that is made now."""
    return datetime.now(UTC)


class ReviewSession:
    """A queue of lesions with a cursor, an undo stack and the state of every write.

    Parameters
    ----------
    records
        The queue, best first; decided ones included.
    reader
        Who decides.
    clock
        Time of a decision.
    acts
        Numbers what readers do, one after the other; shared with others whose acts can be taken back.
    """

    def __init__(
        self,
        records: Sequence[CandidateRecord],
        reader: str,
        *,
        clock: Callable[[], datetime] = now,
        acts: Iterator[int] | None = None,
    ) -> None:
        self._entries = [Entry(record, record.decision.decision if record.decision else None) for record in records]
        self._position_of = {record.id: i for i, record in enumerate(records)}
        self._reader = reader
        self._clock = clock
        self._acts = acts or count(1)
        self._rule: Rule | None = None
        self._undo: list[_Step] = []
        self._redo: list[_Step] = []
        self._pending: dict[int, _Step] = {}
        self._next_ticket = 1
        self._decided_now: set[int] = set()
        self._last_rejected: int | None = None
        self.scores_hidden = False
        """Whether scores stay hidden until the verdict; recorded with every decision."""
        self._position = self._next_open(-1)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All lesions in the order of the queue."""
        return tuple(self._entries)

    @property
    def position(self) -> int | None:
        """Index of the lesion asked about; None when nothing is left."""
        return self._position

    @property
    def current(self) -> CandidateRecord | None:
        """The lesion asked about; None when nothing is left."""
        return None if self._position is None else self._entries[self._position].record

    @property
    def current_entry(self) -> Entry | None:
        """The lesion asked about, with what was said about it."""
        return None if self._position is None else self._entries[self._position]

    @property
    def filtered(self) -> Filtered | None:
        """What the filter leaves; None without one."""
        if self._rule is None:
            return None
        matching = [self._entries[i] for i in range(len(self._entries)) if self._matches(i)]
        return Filtered(self._rule, len(matching), sum(entry.decision is None for entry in matching))

    @property
    def pending(self) -> int:
        """Verdicts that are not on disk yet."""
        return len(self._pending)

    @property
    def undo_act(self) -> int:
        """Number of the act that would be taken back; 0 without any."""
        return self._undo[-1].act if self._undo else 0

    @property
    def redo_act(self) -> int | None:
        """Number of the act that would be done again; None without any."""
        return self._redo[-1].act if self._redo else None

    def open_records(self) -> tuple[CandidateRecord, ...]:
        """Return the lesions that nobody has decided about, in the order of the queue."""
        return tuple(entry.record for entry in self._entries if entry.decision is None)

    def tally(self) -> Tally:
        """Count what was said and what is left."""
        states = [entry.state for entry in self._entries]
        return Tally(
            total=len(states),
            open=states.count(BoxState.PLAIN),
            accepted=states.count(BoxState.ACCEPTED),
            rejected=states.count(BoxState.REJECTED),
            unsure=states.count(BoxState.UNSURE),
            decided_now=sum(self._entries[i].decision is not None for i in self._decided_now),
            pending=len(self._pending),
        )

    def states_of_series(self, series_id: int) -> dict[int, BoxState]:
        """Return how the box of every candidate of a series is drawn, by candidate id."""
        states = {entry.record.id: entry.state for entry in self._entries if _series(entry) == series_id}
        if self.current is not None and self.current.candidate.series_id == series_id:
            states[self.current.id] = BoxState.ASKED
        return states

    def adjusted_of_series(self, series_id: int) -> dict[int, tuple[SliceBox, ...]]:
        """Return the cross-sections of the candidates of a series whose boxes readers have changed, by candidate id."""
        return {
            entry.record.id: entry.slices
            for entry in self._entries
            if entry.is_adjusted and _series(entry) == series_id
        }

    def upcoming_series(self) -> int | None:
        """Return the series of the next open lesion that lies in another series than the current one."""
        if self._position is None:
            return None
        here = _series(self._entries[self._position])
        following = [*range(self._position + 1, len(self._entries)), *range(self._position)]
        others = (i for i in following if self._is_wanted(i) and _series(self._entries[i]) != here)
        return next((_series(self._entries[i]) for i in others), None)

    def only(self, rule: Rule | None) -> None:
        """Walk only over lesions that this rule asks about; None walks over all."""
        self._rule = rule
        self._last_rejected = None
        if self._position is None or not self._matches(self._position):
            self._position = self._next_open(-1)

    def go_to(self, candidate_id: int) -> None:
        """Put the cursor on a lesion, decided or not.

        Raises
        ------
        LensError
            If the lesion is not in the queue.
        """
        if candidate_id not in self._position_of:
            raise LensError(
                f"Lesion {candidate_id} is not in the queue",
                "A lesion of the latest mining is needed",
                "Reload the list",
            )
        self._position = self._position_of[candidate_id]
        self._last_rejected = None

    def go_next(self) -> bool:
        """Move to the next lesion of the queue; return whether there was one."""
        start = -1 if self._position is None else self._position
        return self._move(range(start + 1, len(self._entries)))

    def go_previous(self) -> bool:
        """Move to the previous lesion of the queue; return whether there was one."""
        start = len(self._entries) if self._position is None else self._position
        return self._move(range(start - 1, -1, -1))

    def decide(self, verdict: Verdict, reason: ReasonCode | None = None) -> Write | None:
        """Say something about the lesion on screen and move to the next open one.

        A lesion whose box was changed keeps that box when it is accepted again. Returns None when nothing is asked.
        """
        if self._position is None:
            return None
        said = self._decision(self._position, verdict, reason)
        entry = self._entries[self._position]
        if verdict is Verdict.ACCEPTED and entry.is_adjusted:
            said = replace(said, verdict=Verdict.ADJUSTED, box=entry.box, slices=entry.slices)
        return self._say(self._position, said)

    def adjust(self, slices: tuple[SliceBox, ...], lesion_type: str | None) -> Write | None:
        """Say that the lesion on screen is one with another box, and move to the next open one.

        A type that was said before stays where none is given. Returns None when nothing is asked.
        """
        if self._position is None:
            return None
        known = self._entries[self._position].decision
        said = self._decision(self._position, Verdict.ADJUSTED, None)
        said = replace(said, box=box_from_slices(slices), slices=slices)
        return self._say(
            self._position, replace(said, lesion_type=lesion_type or (known.lesion_type if known else None))
        )

    def accept_as(self, lesion_type: str) -> Write | None:
        """Say that the lesion on screen is one of a type, and move on to the next open one.

        What is a lesion already keeps the box that was decided. Returns None when nothing is asked.
        """
        if self._position is None:
            return None
        known = self._entries[self._position].decision
        said = replace(self._decision(self._position, Verdict.ACCEPTED, None), lesion_type=lesion_type)
        if known is not None and known.verdict in POSITIVE_VERDICTS:
            said = replace(said, verdict=known.verdict, box=known.box, slices=known.slices)
        return self._say(self._position, said)

    def add_reason(self, reason: ReasonCode) -> Write | None:
        """Give the rejection that was just made its reason, without moving; None after any other verdict.

        None, too, after the reader has moved on by himself: which lesion he means is no longer certain.
        """
        if self._last_rejected is None or self._entries[self._last_rejected].verdict is not Verdict.REJECTED:
            return None
        position = self._last_rejected
        rejection = self._undo.pop()  # one Ctrl+Z takes back the rejection and its reason together
        return self._apply(position, self._decision(position, Verdict.REJECTED, reason), before=rejection.before)

    def undo(self) -> Write | None:
        """Take back the last verdict and return to its lesion; a new row, nothing is erased."""
        if not self._undo:
            return None
        step = self._undo.pop()
        self._redo.append(step)
        return self._replay(step, step.before)

    def redo(self) -> Write | None:
        """Say again what was taken back last."""
        if not self._redo:
            return None
        step = self._redo.pop()
        self._undo.append(step)
        return self._replay(step, step.after)

    def forget_taken_back(self) -> None:
        """Let nothing be said again: the reader has gone on with something else."""
        self._redo.clear()

    def mark_saved(self, ticket: int) -> None:
        """Note that a write is on disk."""
        step = self._pending.pop(ticket)
        if not self._is_pending(step.position):
            self._entries[step.position] = replace(self._entries[step.position], save_state=SaveState.SAVED)

    def mark_failed(self, ticket: int) -> None:
        """Note that a write was refused: what held before holds again, and the reader is back at that lesion."""
        step = self._pending.pop(ticket)
        self._take_back(step, step.before, SaveState.FAILED)

    def mark_settled(self, ticket: int, counting: Decision) -> None:
        """Note that a write was refused because of what another reader said: that holds, and the reader is back."""
        step = self._pending.pop(ticket)
        self._take_back(step, counting, SaveState.SETTLED)
        self._decided_now.discard(step.position)

    def _take_back(self, step: _Step, holds: Decision | None, save_state: SaveState) -> None:
        for ticket, other in self._pending.items():
            if other.position == step.position and other.before is step.after:
                self._pending[ticket] = replace(other, before=holds)  # else it would fall back to what was refused
        if not self._is_pending(step.position):
            self._entries[step.position] = replace(self._entries[step.position], decision=holds, save_state=save_state)
        self._undo = [other for other in self._undo if other.position != step.position]
        self._redo = [other for other in self._redo if other.position != step.position]
        self._last_rejected = None
        self._position = step.position

    def _say(self, position: int, decision: Decision) -> Write:
        write = self._apply(position, decision, before=self._entries[position].decision)
        self._last_rejected = position if decision.verdict is Verdict.REJECTED else None
        self._position = self._next_open(position)
        return write

    def _decision(self, position: int, verdict: Verdict, reason: ReasonCode | None) -> Decision:
        record = self._entries[position].record
        return Decision(
            series_id=record.candidate.series_id,
            candidate_id=record.id,
            verdict=verdict,
            box=record.candidate.finding.box,
            slices=record.candidate.finding.slices,
            reader=self._reader,
            decided_at=self._clock(),
            reason_code=reason,
            scores_hidden=self.scores_hidden,
        )

    def _apply(self, position: int, decision: Decision, before: Decision | None) -> Write:
        act = next(self._acts)
        self._undo.append(_Step(act, position, before, decision))
        self._redo.clear()
        return self._write(_Step(act, position, self._entries[position].decision, decision), decision)

    def _replay(self, step: _Step, wanted: Decision | None) -> Write:
        position, before = step.position, self._entries[step.position].decision
        decision = self._decision(position, Verdict.WITHDRAWN, None)
        if wanted is not None and self._is_inherited(position, wanted):
            return self._return_to(replace(step, before=before, after=wanted), decision)
        if wanted is not None:
            decision = replace(
                decision,
                verdict=wanted.verdict,
                reason_code=wanted.reason_code,
                box=wanted.box,
                slices=wanted.slices,
                scores_hidden=wanted.scores_hidden,
                lesion_type=wanted.lesion_type,
            )
        return self._return_to(replace(step, before=before, after=wanted and decision), decision)

    def _return_to(self, step: _Step, decision: Decision) -> Write:
        self._last_rejected = None
        self._position = step.position
        return self._write(step, decision)

    def _is_inherited(self, position: int, decision: Decision) -> bool:
        """Return whether a decision was made about another box at the place: it counts again with nothing said here."""
        record = self._entries[position].record
        return record.inherited and record.decision is not None and decision is record.decision.decision

    def _write(self, step: _Step, decision: Decision) -> Write:
        write = Write(self._next_ticket, decision, seen=self._entries[step.position].decision)
        self._next_ticket += 1
        self._pending[write.ticket] = step
        self._decided_now.add(step.position)
        self._entries[step.position] = replace(
            self._entries[step.position], decision=step.after, save_state=SaveState.PENDING
        )
        return write

    def _is_pending(self, position: int) -> bool:
        return any(step.position == position for step in self._pending.values())

    def _move(self, positions: range) -> bool:
        found = next((i for i in positions if self._matches(i)), None)
        self._last_rejected = None
        if found is not None:
            self._position = found
        return found is not None

    def _next_open(self, after: int) -> int | None:
        following = [*range(after + 1, len(self._entries)), *range(after + 1)]
        return next((i for i in following if self._is_wanted(i)), None)

    def _is_wanted(self, position: int) -> bool:
        return self._entries[position].decision is None and self._matches(position)

    def _matches(self, position: int) -> bool:
        if self._rule is None:
            return True
        return any(reason.rule is self._rule for reason in self._entries[position].record.candidate.reasons)


def _series(entry: Entry) -> int:
    return entry.record.candidate.series_id
