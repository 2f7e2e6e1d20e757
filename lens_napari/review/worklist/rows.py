"""The list as text: a line for each lesion, made when somebody looks at it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.queue.outline import QueueOutline
from lens_napari.review.box_table import BoxState
from lens_napari.review.wording import HIDDEN_SCORE, MARK_OF_STATE, UNKNOWN, symbol

PENDING_MARK = "○"
"""Stands for a verdict that is not on disk yet."""


@dataclass(frozen=True, slots=True)
class WorklistRow:
    """One lesion as a line of text; the score is that of the expert beside it, the surest at the place."""

    candidate_id: int
    state: BoxState
    is_pending: bool
    why: str
    score: str
    expert: str
    patient: str
    slice_text: str

    @property
    def mark(self) -> str:
        """Verdict as a symbol; a hollow circle until it is on disk."""
        return PENDING_MARK if self.is_pending else MARK_OF_STATE.get(self.state, "")

    @property
    def cells(self) -> tuple[str, ...]:
        """Mark, why, score, expert, patient and slice."""
        return self.mark, self.why, self.score, self.expert, self.patient, self.slice_text


@dataclass(frozen=True, slots=True, eq=False)
class WorklistRows(Sequence[WorklistRow]):
    """What the list shows at one moment.

    Attributes
    ----------
    positions
        int64 (n,), the lesions on show, by their position in the queue.
    surest
        Of every lesion of the queue: the column of the surest expert, and its score.
    states
        int8, the `BoxState` of every lesion of the queue.
    pending
        Positions whose verdict is not on disk yet.
    current
        Position of the lesion asked about.
    """

    positions: NDArray[np.int64]
    outline: QueueOutline
    surest: tuple[NDArray[np.int64], NDArray[np.float64]]
    states: NDArray[np.int8]
    pending: frozenset[int]
    series: Mapping[int, SeriesRecord]
    current: int | None
    are_scores_hidden: bool

    @classmethod
    def none(cls) -> "WorklistRows":
        """Return an empty list."""
        empty = QueueOutline.empty()
        nowhere = np.zeros(0, np.int64)
        return cls(nowhere, empty, empty.surest(), np.zeros(0, np.int8), frozenset(), {}, None, False)

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, index: int) -> WorklistRow: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[WorklistRow]: ...

    def __getitem__(self, index: int | slice) -> WorklistRow | Sequence[WorklistRow]:
        if isinstance(index, slice):
            return [self._row(int(position)) for position in self.positions[index]]
        return self._row(int(self.positions[index]))

    @property
    def current_row(self) -> int | None:
        """The line of the lesion asked about; None where the list does not show it."""
        if self.current is None:
            return None
        found = np.flatnonzero(self.positions == self.current)
        return int(found[0]) if len(found) else None

    def differing_from(self, before: "WorklistRows") -> NDArray[np.int64]:
        """Return which lines of this list read differently than before, when it had the same lesions."""
        if self.outline is not before.outline or self.are_scores_hidden is not before.are_scores_hidden:
            return np.arange(len(self))
        differs = self.states != before.states
        differs[list(self.pending ^ before.pending)] = True
        return np.flatnonzero(differs[self.positions])

    def _row(self, position: int) -> WorklistRow:
        state = BoxState(self.states[position])
        is_shown = not self.are_scores_hidden or state.is_decided
        column, score = self.surest[0][position], self.surest[1][position]
        record = self.series.get(int(self.outline.series_ids[position]))
        return WorklistRow(
            candidate_id=int(self.outline.ids[position]),
            state=max(state, BoxState.ASKED) if position == self.current else state,
            is_pending=position in self.pending,
            why=symbol(self.outline.rules_of(position)),
            score=f"{score:.2f}" if is_shown else HIDDEN_SCORE,
            expert=self.outline.experts[column] if is_shown else UNKNOWN,
            patient=record.patient_code.lstrip("0").rjust(4, "0") if record else UNKNOWN,
            slice_text=str(self.outline.middle_slice(position) + 1),
        )
