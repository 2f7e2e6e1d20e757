"""The review in plain Python: the queue of lesions, the one on screen, what was said, and what is on disk.

No Qt and no napari. Of most lesions the session knows what the outline of the queue says; everything about the lesions
of a series is learnt when it comes on screen, before anything can be said of them. The session never writes: it hands
out `Write` values in the order in which they must be committed, and is told afterwards whether each one is on disk.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count

import numpy as np

from lens_engine.errors import LensError
from lens_engine.findings import (
    POSITIVE_VERDICTS,
    Decision,
    ReasonCode,
    Rule,
    SliceBox,
    Verdict,
    box_from_slices,
)
from lens_engine.store.candidates import CandidateRecord
from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.decisions import DecisionRecord
from lens_engine.store.queue.outline import QueueOutline
from lens_napari.review.acts import Acts, SaveState, Step
from lens_napari.review.box_table import BoxState
from lens_napari.review.entries import Entries, Entry
from lens_napari.review.saying.remarks import Remarks
from lens_napari.review.saying.said_line import SaidLine, said_line
from lens_napari.review.worklist.filters import WorklistFilter
from lens_napari.review.worklist.listing import Listing
from lens_napari.review.worklist.rows import WorklistRows


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
class Filtered:
    """What a filter leaves of the queue.

    Attributes
    ----------
    rule
        The reason that is chosen; None where something else is.
    """

    rule: Rule | None
    total: int
    open: int


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts for the summary.

    Attributes
    ----------
    today
        Lesions of the queue that this reader has decided about today, in this window or before.
    """

    total: int
    open: int
    accepted: int
    rejected: int
    unsure: int
    decided_now: int
    pending: int
    today: int = 0


def now() -> datetime:
    """Return the time of a decision that is made now."""
    return datetime.now(UTC)


class ReviewSession:
    """A queue of lesions with a cursor, an undo stack and the state of every write.

    Parameters
    ----------
    outline
        The queue, best first; decided ones included.
    reader
        Who decides.
    series
        The series of the lesions, by id.
    decided_today
        Candidates about which the reader has decided today, before the queue was read.
    clock
        Time of a decision.
    acts
        Numbers what readers do, one after the other; shared with others whose acts can be taken back.
    """

    def __init__(
        self,
        outline: QueueOutline,
        reader: str,
        *,
        series: Mapping[int, SeriesRecord] | None = None,
        decided_today: Collection[int] = (),
        clock: Callable[[], datetime] = now,
        acts: Iterator[int] | None = None,
    ) -> None:
        self._entries = Entries(outline)
        self._position_of = self._entries.position_of
        self._series = series or {}
        self._listing = Listing(outline, self._series, self._entries.states)
        self._surest = outline.surest()
        self._reader = reader
        self._decided_today = {number for number in decided_today if number in self._position_of}
        self._clock = clock
        self._acts = Acts(acts or count(1))
        self.remarks = Remarks(self._entries, self._listing, reader)
        """What the reader adds to his verdicts."""
        self._decided_now: set[int] = set()
        self._last_rejected: int | None = None
        self.scores_hidden = False
        """Whether scores stay hidden until the verdict; recorded with every decision."""
        self._position = self._next_open(None)
        self._is_brought = True
        """Whether the lesion asked about came by itself, behind a verdict, and was not chosen."""

    @property
    def outline(self) -> QueueOutline:
        """The queue as it was read."""
        return self._entries.outline

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The lesions of which everything was read, in the order of the queue."""
        return self._entries.read()

    @property
    def position(self) -> int | None:
        """Index of the lesion asked about; None when nothing is left."""
        return self._position

    @property
    def rank(self) -> int | None:
        """The place of the lesion asked about in the list as it is sorted, from 0; None when nothing is left."""
        return None if self._position is None else self._listing.rank(self._position)

    def __contains__(self, candidate_id: object) -> bool:
        """Return whether a lesion is in the queue."""
        return candidate_id in self._position_of

    def is_decided(self, candidate_id: int) -> bool:
        """Return whether somebody has decided about a lesion that was read."""
        position = self._position_of[candidate_id]
        return position in self._entries and self._entries[position].decision is not None

    def number_of(self, candidate_id: int) -> int:
        """Return the number of a lesion of the queue in the list as it is sorted, from 1."""
        return self._listing.rank(self._position_of[candidate_id]) + 1

    def said_line(self, candidate_id: int) -> SaidLine:
        """Return what confirms the last verdict about a lesion that was read."""
        entry = self._entries[self._position_of[candidate_id]]
        return said_line(self.number_of(candidate_id), entry.decision, entry.save_state)

    @property
    def asked_id(self) -> int | None:
        """The lesion asked about, read or not; None when nothing is left."""
        return None if self._position is None else int(self.outline.ids[self._position])

    @property
    def asked_series(self) -> int | None:
        """The series that the lesion asked about lies in; None when nothing is left."""
        return None if self._position is None else int(self.outline.series_ids[self._position])

    @property
    def current(self) -> CandidateRecord | None:
        """The lesion asked about; None when nothing is left, or until its series was read."""
        entry = self.current_entry
        return None if entry is None else entry.record

    @property
    def current_entry(self) -> Entry | None:
        """The lesion asked about, with what was said about it; None as `current` is."""
        is_read = self._position is not None and self._position in self._entries
        return self._entries[self._position] if is_read and self._position is not None else None

    @property
    def filtered(self) -> Filtered | None:
        """What the filter leaves; None without one."""
        wanted = self._listing.filter
        if not wanted.narrows and wanted.state is None:
            return None
        return Filtered(None if wanted.state else wanted.only_rule, *self._listing.counts())

    @property
    def pending(self) -> int:
        """Verdicts that are not on disk yet."""
        return len(self._acts.waiting)

    @property
    def undo_act(self) -> int:
        """Number of the act that would be taken back; 0 without any."""
        return self._acts.undo_act

    @property
    def redo_act(self) -> int | None:
        """Number of the act that would be done again; None without any."""
        return self._acts.redo_act

    def learn(self, records: Iterable[CandidateRecord]) -> None:
        """Take in everything that is stored of some lesions; what was said here meanwhile stays.

        Lesions of another queue are left out.
        """
        for record in records:
            position = self._position_of.get(record.id)
            if position is not None:
                self._entries.learn(position, record)

    def tally(self) -> Tally:
        """Count what was said and what is left."""
        counts = np.bincount(self._entries.states, minlength=len(BoxState))
        decided = {position for position in self._decided_now if self._entries[position].decision is not None}
        open_again = {int(self.outline.ids[position]) for position in self._decided_now - decided}
        decided_here = {int(self.outline.ids[position]) for position in decided}
        return Tally(
            total=len(self._entries),
            open=int(counts[BoxState.PLAIN]),
            accepted=int(counts[BoxState.ACCEPTED]),
            rejected=int(counts[BoxState.REJECTED]),
            unsure=int(counts[BoxState.UNSURE]),
            decided_now=len(decided),
            pending=self.pending,
            today=len((self._decided_today | decided_here) - open_again),
        )

    def rows(self) -> WorklistRows:
        """Return the list as it is now: the lines are made when they are looked at."""
        return WorklistRows(
            positions=self._listing.shown(self._position),
            outline=self.outline,
            surest=self._surest,
            states=self._entries.states.copy(),
            pending=frozenset(step.lesion for step in self._acts.waiting),
            series=self._series,
            current=self._position,
            are_scores_hidden=self.scores_hidden,
        )

    def states_of_series(self, series_id: int) -> dict[int, BoxState]:
        """Return how the box of every candidate of a series is drawn, by candidate id."""
        here = np.flatnonzero(self.outline.series_ids == series_id)
        states = {int(self.outline.ids[i]): BoxState(self._entries.states[i]) for i in here}
        if self.asked_id is not None and self.asked_series == series_id:
            states[self.asked_id] = BoxState.ASKED
        return states

    def model_version_of(self, series_id: int) -> str | None:
        """Return the model version whose findings the lesions of a series are of; None where none are asked about."""
        return self.outline.model_version if (self.outline.series_ids == series_id).any() else None

    def adjusted_of_series(self, series_id: int) -> dict[int, tuple[SliceBox, ...]]:
        """Return the cross-sections of the candidates of a series whose boxes readers have changed, by candidate id."""
        here = np.flatnonzero(self.outline.series_ids == series_id).tolist()
        entries = [self._entries[position] for position in here if position in self._entries]
        return {entry.record.id: entry.slices for entry in entries if entry.is_adjusted}

    def upcoming_series(self) -> int | None:
        """Return the series of the next open lesion that lies in another series than the current one."""
        following = None if self._position is None else self._listing.following_elsewhere(self._position)
        return None if following is None else int(self.outline.series_ids[following])

    def narrow(self, wanted: WorklistFilter) -> None:
        """Walk only over the lesions that a filter leaves, in the order that it names."""
        self._listing.narrow(wanted)
        self._last_rejected = None
        if self._position is None or not self._listing.fits(self._position):
            self._position = self._next_open(None)

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
        self._is_brought = False
        self._last_rejected = None

    def go_next(self) -> bool:
        """Move to the next lesion of the list; return whether there was one."""
        return self._move(1)

    def go_previous(self) -> bool:
        """Move to the previous lesion of the list; return whether there was one."""
        return self._move(-1)

    def go_to_series(self, step: int) -> bool:
        """Move to the first lesion to ask about of the next series of the list, or of the one before; as `go_next`."""
        found = self._listing.neighbour_series(self._position, step)
        self._last_rejected = None
        if found is not None:
            self._position, self._is_brought = found, False
        return found is not None

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

    def say_remark(self, candidate_id: int) -> Write | None:
        """Say again what was said of a lesion, with the words and axes that wait; the cursor stays.

        None where it waits for a verdict, or where there is nothing new to say.
        """
        position = self._position_of.get(candidate_id)
        if position is None or position not in self._entries or not self.remarks.waits(candidate_id):
            return None
        known = self._entries[position].decision
        return None if known is None else self._say_in_place(position, known, known.reason_code)

    @property
    def rejected_id(self) -> int | None:
        """The lesion that a reason is about: the one just rejected, or else the one on screen where it is rejected."""
        position = self._position if self._last_rejected is None else self._last_rejected
        if position is None or position not in self._entries:
            return None
        entry = self._entries[position]
        return entry.record.id if entry.verdict is Verdict.REJECTED else None

    @property
    def is_just_rejected(self) -> bool:
        """Whether a reason is about the lesion that was rejected before the one on screen."""
        return self._last_rejected is not None and self._last_rejected != self._position

    @property
    def reason(self) -> ReasonCode | None:
        """Why the lesion is rejected that a reason is about."""
        rejected = self.rejected_id
        known = None if rejected is None else self._entries[self._position_of[rejected]].decision
        return None if known is None else known.reason_code

    def add_reason(self, reason: ReasonCode) -> Write | None:
        """Give a rejection its reason, or take it away where it has that one; the cursor stays.

        It is the rejection that was just made, or else that of the lesion on screen; None where there is neither.
        """
        rejected = self.rejected_id
        if rejected is None:
            return None
        wanted, position = None if reason is self.reason else reason, self._position_of[rejected]
        known = self._entries[position].decision
        if known is None or position != self._last_rejected:
            return None if known is None else self._say_in_place(position, known, wanted)
        said = replace(known, reason_code=wanted, decided_at=self._clock())
        step = self._acts.replace_last(said)  # one Ctrl+Z takes back the rejection and its reason together
        return self._write(step, said)

    def undo(self) -> Write | None:
        """Take back the last verdict and return to its lesion; a new row, nothing is erased."""
        step = self._acts.take_back()
        return None if step is None else self._replay(step, step.before)

    def redo(self) -> Write | None:
        """Say again what was taken back last."""
        step = self._acts.do_again()
        return None if step is None else self._replay(step, step.after)

    def forget_taken_back(self) -> None:
        """Let nothing be said again: the reader has gone on with something else."""
        self._acts.forget_taken_back()

    def mark_saved(self, ticket: int) -> int:
        """Note that a write is on disk, and return the lesion."""
        step = self._acts.saved(ticket)
        if not self._acts.is_waiting(step.lesion):
            self._entries[step.lesion] = replace(self._entries[step.lesion], save_state=SaveState.SAVED)
        return int(self.outline.ids[step.lesion])

    def take_along(self, along: Mapping[int, DecisionRecord | None], *, may_move: bool) -> None:
        """Note what counts for lesions, by their ids, since one was decided that they show in sibling series.

        Parameters
        ----------
        may_move
            Ask about the next open lesion instead of one of them to which the reader was brought, and which he has not
            seen yet.
        """
        for candidate_id, counts in along.items():
            position = self._position_of.get(candidate_id)
            if position is not None and not self._acts.is_waiting(position):
                self._entries.note(position, None if counts is None else counts.decision)
                if position == self._position and counts is not None and may_move and self._is_brought:
                    self._position = self._next_open(position)

    def mark_failed(self, ticket: int) -> None:
        """Note that a write was refused: what held before holds again, and the reader is back at that lesion."""
        step = self._acts.failed(ticket)
        self._fall_back(step, step.before, SaveState.FAILED)

    def mark_settled(self, ticket: int, counting: Decision) -> None:
        """Note that a write was refused because of what another reader said: that holds, and the reader is back."""
        step = self._acts.settled(ticket, counting)
        self._fall_back(step, counting, SaveState.SETTLED)
        self._decided_now.discard(step.lesion)

    def _fall_back(self, step: Step, holds: Decision | None, save_state: SaveState) -> None:
        position = step.lesion
        if not self._acts.is_waiting(position):
            self._entries[position] = replace(self._entries[position], decision=holds, save_state=save_state)
            self.remarks.let_wait(position, step.after, holds)
        self._last_rejected = None
        self._position = position

    def _say(self, position: int, decision: Decision) -> Write:
        decision = self.remarks.with_remark(position, decision)
        write = self._write(self._acts.do(position, self._entries[position].decision, decision), decision)
        self._last_rejected = position if decision.verdict is Verdict.REJECTED else None
        self._position = self._next_open(position)
        self._is_brought = True
        return write

    def _say_in_place(self, position: int, known: Decision, reason: ReasonCode | None) -> Write:
        again = replace(
            self._decision(position, known.verdict, reason),
            box=known.box,
            slices=known.slices,
            lesion_type=known.lesion_type,
        )
        said = self.remarks.with_remark(position, again)
        self._last_rejected = None
        return self._write(self._acts.do(position, known, said), said)

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

    def _replay(self, step: Step, wanted: Decision | None) -> Write:
        self._last_rejected = None
        self._position = step.lesion
        before = self._entries[step.lesion].decision
        self.remarks.drop(step.lesion)
        if wanted is None or self._is_inherited(step.lesion, wanted):
            withdrawal = self._decision(step.lesion, Verdict.WITHDRAWN, None)
            write = self._write(replace(step, after=wanted), withdrawal)
            self.remarks.let_wait(step.lesion, before, wanted)
            return write
        comment = wanted.comment if wanted.reader == self._reader else ""  # another's words stay his
        said = replace(wanted, reader=self._reader, decided_at=self._clock(), previous_id=None, comment=comment)
        return self._write(replace(step, after=said), said)

    def _is_inherited(self, position: int, decision: Decision) -> bool:
        """Return whether a decision was made about another box at the place: it counts again with nothing said here."""
        record = self._entries[position].record
        return record.inherited and record.decision is not None and decision is record.decision.decision

    def _write(self, step: Step, decision: Decision) -> Write:
        entry = self._entries[step.lesion]
        ticket = self._acts.wait(replace(step, before=entry.decision))
        self._decided_now.add(step.lesion)
        self._entries[step.lesion] = replace(entry, decision=step.after, save_state=SaveState.PENDING)
        self.remarks.tell_list(step.lesion)
        return Write(ticket, decision, seen=entry.decision)

    def _move(self, step: int) -> bool:
        found = self._listing.neighbour(self._position, step)
        self._last_rejected = None
        if found is not None:
            self._position, self._is_brought = found, False
        return found is not None

    def _next_open(self, after: int | None) -> int | None:
        return self._listing.following(after)
