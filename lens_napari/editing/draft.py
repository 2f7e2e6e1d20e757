"""A box that is being changed or drawn, until it is kept or dropped: a frozen value, and every change a new one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from lens_engine.findings import Box2D, SliceBox
from lens_napari.editing.geometry import Size, with_extent, with_section
from lens_napari.review.acts import Step

NEW_LESION = -2
"""Lesion number of a box that is being drawn; lesions that were drawn have lower ones, candidates are positive."""

Slices = tuple[SliceBox, ...]


class Purpose(Enum):
    """What a box is edited for."""

    ADJUST = auto()
    """The lesion asked about."""
    DRAW = auto()
    """A lesion that nobody asked about."""
    CHANGE = auto()
    """One that was drawn before."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One box in work.

    Attributes
    ----------
    lesion
        Number of the lesion: a candidate, a drawn one, or `NEW_LESION`.
    depth, size
        Slices of the scan, and (height, width) of each.
    slices
        Cross-sections, ascending; none before the first drag of a drawing.
    original
        The same before any change.
    earlier, later
        What can be taken back, the last first, and said again.
    """

    purpose: Purpose
    series_id: int
    lesion: int
    depth: int
    size: Size
    slices: Slices
    original: Slices
    earlier: tuple[Slices, ...] = ()
    later: tuple[Slices, ...] = ()

    @classmethod
    def of(cls, purpose: Purpose, series_id: int, lesion: int, shape: Sequence[int], slices: Slices) -> "Draft":
        """Begin with the box of a lesion in a scan of shape (z, y, x)."""
        depth, height, width = shape
        return cls(purpose, series_id, lesion, depth, (height, width), slices, slices)

    @classmethod
    def again(cls, refused: Step, shape: Sequence[int]) -> "Draft | None":
        """Take a box into work again that could not be written; None where no box is lost."""
        depth, height, width = shape
        before, after = refused.before, refused.after
        if after is None or (before is not None and before.slices == after.slices):
            return None
        purpose, lesion = (Purpose.DRAW, NEW_LESION) if before is None else (Purpose.CHANGE, refused.lesion)
        original = () if before is None else before.slices
        return cls(purpose, after.series_id, lesion, depth, (height, width), after.slices, original, (original,))

    @property
    def is_changed(self) -> bool:
        """Whether it is another box than before."""
        return self.slices != self.original

    @property
    def extent(self) -> tuple[int, int] | None:
        """First and last slice; None before the box is drawn."""
        return (self.slices[0].slice_index, self.slices[-1].slice_index) if self.slices else None

    def section(self, slice_index: int) -> Box2D | None:
        """Return the cross-section of a slice; None where it has none."""
        return next((one.box for one in self.slices if one.slice_index == slice_index), None)

    def with_box(self, slice_index: int, box: Box2D) -> "Draft":
        """Return it with another cross-section on one slice."""
        return self._changed(with_section(self.slices, slice_index, box))

    def with_slices(self, others: Slices) -> "Draft":
        """Return it with cross-sections on slices where it has none; its own stay, and a slice between has one, too."""
        kept = {one.slice_index: one for one in (*others, *self.slices) if 0 <= one.slice_index < self.depth}
        slices = tuple(kept[index] for index in sorted(kept))
        return self._changed(with_extent(slices, slices[0].slice_index, slices[-1].slice_index, self.depth))

    def between(self, first: int, last: int) -> "Draft":
        """Return it from one slice to another, as far as the scan goes and a slice is left; nothing, undrawn."""
        return self._changed(with_extent(self.slices, first, last, self.depth)) if self.slices else self

    def moved_ends(self, by_first: int, by_last: int) -> "Draft":
        """Return it with its first and its last slice moved by so many."""
        if self.extent is None:
            return self
        first, last = self.extent
        # An end stops at the other one, which it does not push.
        return self.between(min(first + by_first, last), max(last + by_last, first))

    def undone(self) -> "Draft":
        """Return it before the last change."""
        if not self.earlier:
            return self
        return replace(self, slices=self.earlier[0], earlier=self.earlier[1:], later=(self.slices, *self.later))

    def redone(self) -> "Draft":
        """Return it with the change that was taken back last."""
        if not self.later:
            return self
        return replace(self, slices=self.later[0], earlier=(self.slices, *self.earlier), later=self.later[1:])

    def _changed(self, slices: Slices) -> "Draft":
        if slices == self.slices:
            return self
        return replace(self, slices=slices, earlier=(self.slices, *self.earlier), later=())
