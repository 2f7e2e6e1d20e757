"""What one slice of a series teaches: its boxes by role, taken from the lesions of the series.

Boxes are `(n, 4)` `[x1, y1, x2, y2]`, half-open; in series voxels as they come from here, in network pixels once
`SliceLabels.transformed` was applied.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import pad_in_plane
from lens_engine.findings import Box2D
from lens_engine.snapshot import Lesion, LesionOrigin, LesionRole

TIGHT_BOX_MARGIN_VOXELS = 5.0
"""Margin that RECIST boxes have and mask-derived ones lack (algorithms 1.9)."""

BoxArray = NDArray[np.float64]
SlicePlace = tuple[int, Box2D]
"""A slice and the cross-section of a lesion on it, in series voxels."""


def _no_boxes() -> BoxArray:
    return np.zeros((0, 4))


@dataclass(frozen=True, slots=True, eq=False)
class SliceLabels:
    """Boxes of one slice, by what they mean to the losses.

    Attributes
    ----------
    lesions
        Positives of the expert that learns here.
    foreign
        Lesions, but not of that expert: it learns nothing there.
    unsure
        Places where nothing is learnt at all.
    uncertain
        Mined places: their central half is ignored (algorithms 4.1), and regions that overlap them are not sampled.
    rejected
        Certain negatives of the expert that learns here.
    class_only
        Lesions whose edges are not trusted: the head learns their class, not their box, and the proposal networks
        nothing (algorithms 5.5).
    """

    lesions: BoxArray = field(default_factory=_no_boxes)
    foreign: BoxArray = field(default_factory=_no_boxes)
    unsure: BoxArray = field(default_factory=_no_boxes)
    uncertain: BoxArray = field(default_factory=_no_boxes)
    rejected: BoxArray = field(default_factory=_no_boxes)
    class_only: BoxArray = field(default_factory=_no_boxes)

    @property
    def every_lesion(self) -> BoxArray:
        """The lesions whose edges are trusted, then the others."""
        return np.concatenate([self.lesions, self.class_only])

    @property
    def for_proposals(self) -> "SliceLabels":
        """What the proposal networks learn from: nothing at all where the edges are not trusted."""
        return replace(self, unsure=np.concatenate([self.unsure, self.class_only]), class_only=_no_boxes())

    @property
    def untaught(self) -> BoxArray:
        """Places where nothing is learnt at all: unsure ones and lesions of other experts."""
        return np.concatenate([self.unsure, self.foreign])

    @property
    def is_certain_somewhere(self) -> bool:
        """Whether there is a place of which it is known that it is a lesion or none."""
        return len(self.lesions) > 0 or len(self.rejected) > 0

    def transformed(self, transform: Callable[[BoxArray], BoxArray]) -> "SliceLabels":
        """Return the labels with `transform` applied to each of the box arrays."""
        return SliceLabels(**{part.name: transform(getattr(self, part.name)) for part in fields(self)})


@dataclass(frozen=True, slots=True)
class LesionLabels:
    """The labels of one series, ready to be asked slice by slice.

    Attributes
    ----------
    lesions
        All labels of the series.
    expert
        The one that learns from it: the data set of the series.
    in_plane_mm, slice_mm
        Voxel spacing; the in-plane one is the mean of both axes.
    tight_margin_voxels
        In-plane margin that tight boxes get.
    """

    lesions: tuple[Lesion, ...]
    expert: str
    in_plane_mm: float
    slice_mm: float
    tight_margin_voxels: float = TIGHT_BOX_MARGIN_VOXELS

    def on_slice(self, slice_index: int) -> SliceLabels:
        """Return the boxes of one slice for the expert that learns from the series, in series voxels."""
        return self.for_expert(self.expert, slice_index)

    def for_expert(self, expert: str, slice_index: int) -> SliceLabels:
        """Return the boxes of one slice as they are for any expert, in series voxels.

        What is neither a lesion of an expert nor rejected is known to the one that learns from the series alone.
        """
        positives = [lesion for lesion in self.lesions if lesion.role is LesionRole.POSITIVE]
        ignored = [lesion for lesion in self.lesions if lesion.role is LesionRole.IGNORE]
        unsure = _boxes((lesion for lesion in ignored if lesion.origin is not LesionOrigin.MINED), slice_index)
        beyond_key_slice = [self._padded(lesion)[0] for lesion in positives if self._reaches(lesion, slice_index)]
        own = [lesion for lesion in positives if lesion.is_for(expert, self.expert)]
        class_only = [lesion for lesion in self.lesions if lesion.role is LesionRole.CLASSIFICATION]
        others = [lesion for lesion in (*positives, *class_only) if not lesion.is_for(expert, self.expert)]
        return SliceLabels(
            lesions=np.concatenate([_no_boxes(), *(self._padded(lesion, slice_index) for lesion in own)]),
            foreign=np.concatenate([_no_boxes(), *(self._padded(lesion, slice_index) for lesion in others)]),
            unsure=np.concatenate([unsure, np.asarray(beyond_key_slice).reshape(-1, 4)]),
            uncertain=_boxes((lesion for lesion in ignored if lesion.origin is LesionOrigin.MINED), slice_index),
            rejected=_boxes(self._negatives_of(expert), slice_index),
            class_only=_boxes((lesion for lesion in class_only if lesion.is_for(expert, self.expert)), slice_index),
        )

    def certain_negatives(self) -> tuple[Lesion, ...]:
        """Return the rejected places that are certain for the expert that learns from the series."""
        return self._negatives_of(self.expert)

    def lesion_places(self) -> tuple[tuple[SlicePlace, ...], ...]:
        """Return where every 3D lesion can be seen; labels of one group are one lesion."""
        places: dict[str, list[SlicePlace]] = {}
        for number, lesion in enumerate(self.lesions):
            if lesion.role is LesionRole.POSITIVE:
                key = f"lesion {number}" if lesion.group is None else f"group {lesion.group}"
                places.setdefault(key, []).extend(_places(lesion))
        return tuple(tuple(sorted(seen)) for seen in places.values())

    def rejected_places(self) -> tuple[tuple[SlicePlace, ...], ...]:
        """Return where every certain negative of the expert that learns from the series can be seen."""
        return tuple(_places(lesion) for lesion in self.certain_negatives())

    def lesion_free_slices(self, slice_count: int) -> NDArray[np.intp]:
        """Return the slices that hold no lesion and lie beyond the reach of those drawn on one slice only.

        A slice between the ends of a lesion's 3D box holds it even where it has no box, as at the poles of a sphere.
        Unsure places do not spoil a slice: they are ignored there.
        """
        free = np.ones(slice_count, dtype=bool)
        for lesion in self.lesions:
            if lesion.role is LesionRole.POSITIVE:
                free[[index for index, *_ in lesion.slices]] = False
                free[max(0, int(np.floor(lesion.box[2]))) : int(np.ceil(lesion.box[5]))] = False
                if lesion.key_slice is not None:
                    reach = self._reach_slices(lesion)
                    free[max(0, lesion.key_slice - reach) : lesion.key_slice + reach + 1] = False
        return np.flatnonzero(free)

    def _negatives_of(self, expert: str) -> tuple[Lesion, ...]:
        return tuple(
            lesion
            for lesion in self.lesions
            if lesion.role is LesionRole.NEGATIVE and lesion.is_for(expert, self.expert)
        )

    def _padded(self, lesion: Lesion, slice_index: int | None = None) -> BoxArray:
        boxes = _boxes([lesion], slice_index)
        return pad_in_plane(boxes, self.tight_margin_voxels) if lesion.is_tight else boxes

    def _reach_slices(self, lesion: Lesion) -> int:
        """Return how many slices above and below its key slice a lesion may go on, as if it were as tall as wide."""
        x1, y1, _, x2, y2, _ = lesion.box
        return int(np.ceil(max(x2 - x1, y2 - y1) / 2 * self.in_plane_mm / self.slice_mm))

    def _reaches(self, lesion: Lesion, slice_index: int) -> bool:
        """Whether a lesion that was drawn on its key slice only probably goes on to this slice, where it has no box."""
        if lesion.key_slice is None or any(index == slice_index for index in self._slices_of(lesion)):
            return False
        return abs(slice_index - lesion.key_slice) <= self._reach_slices(lesion)

    def _slices_of(self, lesion: Lesion) -> set[int]:
        relatives: Sequence[Lesion] = [lesion]
        if lesion.group is not None:
            relatives = [other for other in self.lesions if other.group == lesion.group]
        return {index for other in relatives if other.role is LesionRole.POSITIVE for index, *_ in other.slices}


def _places(lesion: Lesion) -> tuple[SlicePlace, ...]:
    return tuple((index, (x1, y1, x2, y2)) for index, x1, y1, x2, y2 in lesion.slices)


def _boxes(lesions: Iterable[Lesion], slice_index: int | None) -> BoxArray:
    """Return the cross-sections on one slice (all of them for None), (n, 4)."""
    rows = [box for lesion in lesions for index, *box in lesion.slices if slice_index in (None, index)]
    return np.asarray(rows, dtype=np.float64).reshape(-1, 4)
