"""What a reader has said in order: what can be taken back, what can be said again, and what is not on disk yet.

Lesions are named by numbers of the owner's choice. Whoever refuses a write has the last word: what was said of the
lesion before it cannot be taken back any more, and later writes fall back to what holds now.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from lens_engine.findings import Decision


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
class Step:
    """One change of one lesion.

    Attributes
    ----------
    act
        Its number in the order of everything that a reader does.
    lesion
        Which one.
    before, after
        What holds for it; None while nothing was said, or where the lesion is not there.
    """

    act: int
    lesion: int
    before: Decision | None
    after: Decision | None


class Acts:
    """The steps of one owner.

    Parameters
    ----------
    numbers
        Numbers what readers do, one after the other; shared with other owners whose acts can be taken back.
    """

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._done: list[Step] = []
        self._taken_back: list[Step] = []
        self._waiting: dict[int, Step] = {}
        self._next_ticket = 1

    @property
    def undo_act(self) -> int:
        """Number of the act that would be taken back; 0 without any."""
        return self._done[-1].act if self._done else 0

    @property
    def redo_act(self) -> int | None:
        """Number of the act that would be done again; None without any."""
        return self._taken_back[-1].act if self._taken_back else None

    @property
    def waiting(self) -> tuple[Step, ...]:
        """The steps that are not on disk yet, in the order in which they were made."""
        return tuple(self._waiting.values())

    def do(self, lesion: int, before: Decision | None, after: Decision | None) -> Step:
        """Note a change; what was taken back until now cannot be said again."""
        step = Step(next(self._numbers), lesion, before, after)
        self._done.append(step)
        self._taken_back.clear()
        return step

    def replace_last(self, after: Decision | None) -> Step:
        """Note a change that is taken back together with the last one."""
        last = self._done.pop()
        return self.do(last.lesion, last.before, after)

    def take_back(self) -> Step | None:
        """Return the last step, which can be done again from now on; None without any."""
        if not self._done:
            return None
        self._taken_back.append(self._done.pop())
        return self._taken_back[-1]

    def do_again(self) -> Step | None:
        """Return the step that was taken back last; None without any."""
        if not self._taken_back:
            return None
        self._done.append(self._taken_back.pop())
        return self._done[-1]

    def forget_taken_back(self) -> None:
        """Let nothing be said again: the reader has gone on with something else."""
        self._taken_back.clear()

    def wait(self, step: Step) -> int:
        """Note that a step is about to be written, and return the ticket that names it in the answer."""
        ticket = self._next_ticket
        self._next_ticket += 1
        self._waiting[ticket] = step
        return ticket

    def is_waiting(self, lesion: int) -> bool:
        """Return whether something about a lesion is not on disk yet."""
        return any(step.lesion == lesion for step in self._waiting.values())

    def saved(self, ticket: int) -> Step:
        """Return the step that is on disk now."""
        return self._waiting.pop(ticket)

    def failed(self, ticket: int) -> Step:
        """Return the step that was refused: what held before it holds again."""
        refused = self._waiting.pop(ticket)
        self._fall_back(refused, refused.before)
        return refused

    def settled(self, ticket: int, holds: Decision) -> Step:
        """Return the step that was refused because of what another reader had said: that holds."""
        refused = self._waiting.pop(ticket)
        self._fall_back(refused, holds)
        return refused

    def _fall_back(self, refused: Step, holds: Decision | None) -> None:
        for later, step in self._waiting.items():
            if step.lesion == refused.lesion and step.before is refused.after:
                self._waiting[later] = replace(step, before=holds)  # else it would fall back to what was refused
        self._done = [step for step in self._done if step.lesion != refused.lesion]
        self._taken_back = [step for step in self._taken_back if step.lesion != refused.lesion]
