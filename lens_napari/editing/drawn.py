"""The lesions that readers drew: those of the series that were shown, what was said of them now, and what is on disk.

Like the review session it knows no Qt and writes nothing: it hands out `DrawnWrite` values in the order in which they
must be committed, and is told afterwards whether each one is on disk.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count

from lens_engine.findings import Decision, Verdict, box_from_slices, slices_of_box
from lens_engine.store.comments import Comment
from lens_engine.store.decisions import DecisionRecord
from lens_napari.editing.draft import NEW_LESION, Slices
from lens_napari.editing.drawn_remarks import DrawnRemarks, SaidOfDrawn
from lens_napari.review.acts import Acts, SaveState, Step


class StoredRow:
    """The latest row about one lesion; known to the lane of the commits alone, which writes them in order."""

    def __init__(self, row_id: int | None = None) -> None:
        self.id = row_id


@dataclass(frozen=True, slots=True)
class DrawnLesion:
    """One lesion that a reader drew.

    Attributes
    ----------
    number
        Names it on screen; negative.
    comments
        What readers have written about it, as it was read.
    """

    number: int
    decision: Decision
    row: StoredRow
    save_state: SaveState = SaveState.SAVED
    comments: tuple[Comment, ...] = ()


@dataclass(frozen=True, slots=True)
class DrawnWrite:
    """A change of one lesion to commit.

    Attributes
    ----------
    was_there
        Whether the lesion is there until then.
    said
        The lesion as it is from now on, or its withdrawal.
    """

    ticket: int
    row: StoredRow
    was_there: bool
    said: Decision


class DrawnLesions:
    """All lesions that were drawn in the series shown so far.

    Parameters
    ----------
    reader
        Who draws.
    clock
        Time of a decision.
    acts
        Numbers what readers do, one after the other; shared with the review session.
    """

    def __init__(self, reader: str, clock: Callable[[], datetime], acts: Iterator[int]) -> None:
        self._reader = reader
        self._clock = clock
        self._acts = Acts(acts)
        self._numbers = count(NEW_LESION - 1, -1)
        self._lesions: dict[int, DrawnLesion] = {}
        self._rows: dict[int, StoredRow] = {}
        self.remarks = DrawnRemarks(reader, self._said_of)
        """What the reader adds to lesions."""
        self.scores_hidden = False
        """Whether scores stay hidden until the verdict; recorded with every decision."""

    @property
    def undo_act(self) -> int:
        """Number of the act that would be taken back; 0 without any."""
        return self._acts.undo_act

    @property
    def redo_act(self) -> int | None:
        """Number of the act that would be done again; None without any."""
        return self._acts.redo_act

    def of_series(self, series_id: int) -> tuple[DrawnLesion, ...]:
        """Return the lesions of a series from head to feet."""
        found = [one for one in self._lesions.values() if one.decision.series_id == series_id]
        return tuple(sorted(found, key=lambda one: (one.decision.box[2], -one.number)))

    def find(self, number: int) -> DrawnLesion | None:
        """Return one lesion; None where it is not there any more."""
        return self._lesions.get(number)

    def is_pending(self, series_id: int) -> bool:
        """Return whether something that was said in a series is not on disk yet."""
        said = [one for step in self._acts.waiting for one in (step.before, step.after)]
        return any(one is not None and one.series_id == series_id for one in said)

    def show(self, series_id: int, records: Sequence[DecisionRecord]) -> None:
        """Take the lesions of a series as they are on disk; those that are known keep their numbers."""
        known = {row.id: number for number, row in self._rows.items() if row.id is not None}
        for one in self.of_series(series_id):
            del self._lesions[one.number]
        for record in records:
            number = known.get(record.id)
            if number is None:
                number = next(self._numbers)
                self._rows[number] = StoredRow(record.id)
            decision = record.decision
            if not decision.slices:
                decision = replace(decision, slices=slices_of_box(decision.box))
            self._lesions[number] = DrawnLesion(number, decision, self._rows[number], comments=record.comments)

    def add(self, series_id: int, slices: Slices, lesion_type: str | None) -> DrawnWrite:
        """Say that there is a lesion that nobody asked about."""
        number = next(self._numbers)
        self._rows[number] = StoredRow()
        decision = Decision(
            series_id=series_id,
            candidate_id=None,
            verdict=Verdict.ADDED,
            box=box_from_slices(slices),
            slices=slices,
            reader=self._reader,
            decided_at=self._clock(),
            scores_hidden=self.scores_hidden,
            lesion_type=lesion_type,
        )
        return self._act(number, self.remarks.with_remark(NEW_LESION, decision))

    def change(self, number: int, slices: Slices, lesion_type: str | None) -> DrawnWrite:
        """Give a lesion another box, another type, or both; a type that was said before stays where none is given."""
        known = self._lesions[number].decision
        said = replace(known, box=box_from_slices(slices), slices=slices, lesion_type=lesion_type or known.lesion_type)
        return self._act(number, self.remarks.with_remark(number, self._said_now(said)))

    def say_remark(self, number: int) -> DrawnWrite | None:
        """Add the words and axes that wait to what is said of a lesion; None where none do."""
        if number not in self._lesions or not self.remarks.waits(number):
            return None
        known = self._lesions[number].decision
        return self._act(number, self.remarks.with_remark(number, self._said_now(known)))

    def delete(self, number: int) -> DrawnWrite:
        """Say that a lesion is none, or was drawn by mistake."""
        return self._act(number, self._withdrawal(self._lesions[number].decision))

    def undo(self) -> DrawnWrite | None:
        """Take back the last change; a new row, nothing is erased."""
        step = self._acts.take_back()
        return None if step is None else self._replay(step, step.before)

    def redo(self) -> DrawnWrite | None:
        """Make the change again that was taken back last."""
        step = self._acts.do_again()
        return None if step is None else self._replay(step, step.after)

    def forget_taken_back(self) -> None:
        """Let nothing be done again: the reader has gone on with something else."""
        self._acts.forget_taken_back()

    def mark_saved(self, ticket: int) -> None:
        """Note that a write is on disk."""
        step = self._acts.saved(ticket)
        if step.lesion in self._lesions and not self._acts.is_waiting(step.lesion):
            self._lesions[step.lesion] = replace(self._lesions[step.lesion], save_state=SaveState.SAVED)

    def mark_failed(self, ticket: int) -> Step:
        """Note that a write was refused, and return what it would have changed: what held before holds again."""
        step = self._acts.failed(ticket)
        if not self._acts.is_waiting(step.lesion):
            self._put(step.lesion, step.before, SaveState.FAILED)
            if step.after is not None:
                self.remarks.let_wait(NEW_LESION if step.before is None else step.lesion, step.after)
        return step

    def _act(self, number: int, said: Decision) -> DrawnWrite:
        after = None if said.verdict is Verdict.WITHDRAWN else said
        return self._write(self._acts.do(number, self._now(number), after), said)

    def _replay(self, step: Step, wanted: Decision | None) -> DrawnWrite | None:
        before = self._now(step.lesion)
        if wanted is not None:
            wanted = self._said_now(wanted)
        said = wanted or (before and self._withdrawal(before))
        return None if said is None else self._write(replace(step, before=before, after=wanted), said)

    def _write(self, step: Step, said: Decision) -> DrawnWrite:
        ticket = self._acts.wait(step)
        self._put(step.lesion, step.after, SaveState.PENDING)
        return DrawnWrite(ticket, self._rows[step.lesion], step.before is not None, said)

    def _withdrawal(self, decision: Decision) -> Decision:
        return self._said_now(replace(decision, verdict=Verdict.WITHDRAWN, lesion_type=None, comment="", axes=None))

    def _said_now(self, decision: Decision) -> Decision:
        comment = decision.comment if decision.reader == self._reader else ""  # another's words stay his
        return replace(decision, reader=self._reader, decided_at=self._clock(), previous_id=None, comment=comment)

    def _said_of(self, number: int) -> SaidOfDrawn | None:
        found = self._lesions.get(number)
        return None if found is None else SaidOfDrawn(found.decision, found.comments)

    def _now(self, number: int) -> Decision | None:
        found = self._lesions.get(number)
        return None if found is None else found.decision

    def _put(self, number: int, decision: Decision | None, save_state: SaveState) -> None:
        known = self._lesions.pop(number, None)
        if decision is not None:
            comments = known.comments if known else ()
            self._lesions[number] = DrawnLesion(number, decision, self._rows[number], save_state, comments)
