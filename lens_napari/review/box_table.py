"""All boxes of one series in columns sorted by slice, and what of them is to be drawn on one slice.

Plain numpy, no Qt and no napari: layers are views of this table, never the truth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lens_engine.evaluation.outcomes import Outcome
from lens_engine.findings import Box2D, SliceBox

ANNOTATIONS = "annotations"
"""Group of the boxes that came with the data or were curated."""
CANDIDATES = "candidates"
"""Group of the lesions that a reader is asked about."""

NO_LESION = -1
"""Lesion number of boxes that nobody is asked about."""
NO_ROW = -1
"""Row of rectangles that no row was given for."""
NOTHING_CHANGED: Mapping[int, Sequence[SliceBox]] = MappingProxyType({})


class BoxState(IntEnum):
    """How a box is drawn."""

    PLAIN = 0
    ASKED = 1
    """The lesion on screen: thick."""
    ACCEPTED = 2
    REJECTED = 3
    UNSURE = 4

    @property
    def is_decided(self) -> bool:
        """Whether a reader has settled this box: thin and at half strength."""
        return self >= BoxState.ACCEPTED


@dataclass(frozen=True, slots=True)
class BoxRow:
    """Input of the table: the cross-sections of one lesion of one group."""

    group: str
    slices: Sequence[SliceBox]
    score: float
    lesion: int = NO_LESION


@dataclass(frozen=True, slots=True, eq=False)
class BoxTable:
    """One row for every cross-section, ascending by slice.

    Attributes
    ----------
    groups
        Names of experts, `FUSED`, `ANNOTATIONS`, `CANDIDATES`; `group_index` points into it.
    slice_index
        int32 (n,), ascending.
    boxes
        float32 (n, 4), `[x1, y1, x2, y2]`, half-open voxel edges.
    scores
        float32 (n,), of the whole lesion.
    group_index
        int16 (n,).
    lesion
        int64 (n,), candidate id or `NO_LESION`.
    row
        int32 (n,), which of the given rows a box comes from.
    """

    groups: tuple[str, ...]
    slice_index: NDArray[np.int32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    group_index: NDArray[np.int16]
    lesion: NDArray[np.int64]
    row: NDArray[np.int32]

    @classmethod
    def from_rows(cls, groups: Sequence[str], rows: Iterable[BoxRow]) -> "BoxTable":
        """Sort the cross-sections of all lesions by slice."""
        number = {group: i for i, group in enumerate(groups)}
        flat = [(i, row, section) for i, row in enumerate(rows) for section in row.slices]
        slices = np.asarray([section.slice_index for _, _, section in flat], dtype=np.int32)
        order = np.argsort(slices, kind="stable")
        boxes = np.asarray([section.box for _, _, section in flat], dtype=np.float32).reshape(-1, 4)
        return cls(
            groups=tuple(groups),
            slice_index=slices[order],
            boxes=boxes[order],
            scores=np.asarray([row.score for _, row, _ in flat], dtype=np.float32)[order],
            group_index=np.asarray([number[row.group] for _, row, _ in flat], dtype=np.int16)[order],
            lesion=np.asarray([row.lesion for _, row, _ in flat], dtype=np.int64)[order],
            row=np.asarray([i for i, _, _ in flat], dtype=np.int32)[order],
        )

    def on_slice(self, slice_index: int) -> slice:
        """Return the rows of one slice."""
        first, last = np.searchsorted(self.slice_index, [slice_index, slice_index + 1])
        return slice(int(first), int(last))


@dataclass(frozen=True, slots=True)
class Shown:
    """What the reader wants to see.

    Attributes
    ----------
    hidden
        Groups that are switched off.
    thresholds
        Least score of a group's lesions; groups without one show all.
    rest_is_dimmed
        Every box but that of the lesion asked about and the annotations is drawn dimmed.
    everything_hidden
        All boxes are off (key H), whatever `hidden` says.
    alone
        The group that is shown alone, and bright, whatever `hidden` says; the lesion asked about stays with it.
    in_sections
        Groups of which every box is drawn in coronal and sagittal sections; of others it is the lesion asked about.
    """

    hidden: frozenset[str] = frozenset()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    rest_is_dimmed: bool = True
    everything_hidden: bool = False
    alone: str | None = None
    in_sections: frozenset[str] = frozenset({ANNOTATIONS})

    def has(self, group: str) -> bool:
        """Return whether boxes of a group are drawn; of the candidates beside a group alone, the one asked about."""
        if self.everything_hidden:
            return False
        if self.alone is None or group == CANDIDATES:
            return group not in self.hidden
        return group == self.alone


@dataclass(frozen=True, slots=True)
class Rectangle:
    """One rectangle to draw.

    Attributes
    ----------
    is_dimmed
        Whether it stands back behind the lesion asked about and the annotations.
    row
        Which of the rows given to the table it comes from, or `NO_ROW`.
    outcome
        What it is by the truth; None where that is not compared.
    """

    group: str
    box: Box2D
    score: float
    lesion: int
    state: BoxState
    is_dimmed: bool
    row: int = NO_ROW
    outcome: Outcome | None = None


def resolve(
    table: BoxTable,
    shown: Shown,
    slice_index: int,
    states: Mapping[int, BoxState],
    changed: Mapping[int, Sequence[SliceBox]] = NOTHING_CHANGED,
) -> dict[str, tuple[Rectangle, ...]]:
    """Return the rectangles of every group on one slice; a group with nothing to draw has an empty tuple.

    The lesion asked about comes last in its group, so that it is drawn on top, and no threshold hides a candidate.
    Where a group is shown alone, no other candidate is drawn.
    Lesions in `changed`, by number, are candidates with these cross-sections, whatever the table says of them.
    """
    drawn: dict[str, list[Rectangle]] = {group: [] for group in table.groups}
    if changed and shown.has(CANDIDATES):
        drawn[CANDIDATES] = [
            _rectangle(CANDIDATES, section.box, section.score, lesion, states.get(lesion, BoxState.PLAIN), shown)
            for lesion, slices in changed.items()
            for section in slices
            if section.slice_index == slice_index
        ]
    if not shown.everything_hidden:
        rows = table.on_slice(slice_index)
        limits = np.asarray([shown.thresholds.get(group, 0.0) for group in table.groups], dtype=np.float32)
        is_on = np.asarray([shown.has(group) for group in table.groups])
        groups = table.group_index[rows]
        keep = is_on[groups] & (table.scores[rows] >= limits[groups])
        for i in np.flatnonzero(keep) + rows.start:
            group = table.groups[table.group_index[i]]
            x1, y1, x2, y2 = (float(value) for value in table.boxes[i])
            lesion = int(table.lesion[i])
            if lesion not in changed:
                state = states.get(lesion, BoxState.PLAIN)
                plain = _rectangle(group, (x1, y1, x2, y2), float(table.scores[i]), lesion, state, shown)
                drawn[group].append(replace(plain, row=int(table.row[i])))
    if shown.alone is not None:
        drawn[CANDIDATES] = [one for one in drawn[CANDIDATES] if one.state is BoxState.ASKED]
    return {group: tuple(sorted(boxes, key=_asked_last)) for group, boxes in drawn.items()}


def _rectangle(group: str, box: Box2D, score: float, lesion: int, state: BoxState, shown: Shown) -> Rectangle:
    is_bright = group in (ANNOTATIONS, shown.alone) or state is BoxState.ASKED
    return Rectangle(group, box, score, lesion, state, shown.rest_is_dimmed and not is_bright)


def _asked_last(rectangle: Rectangle) -> bool:
    return rectangle.state is BoxState.ASKED
