"""The boxes that a coronal or sagittal section cuts, as rectangles on it. Needs neither Qt nor napari."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.geometry import VolumeGeometry
from lens_napari.review.box_table import ANNOTATIONS, BoxTable, Shown
from lens_napari.sections.planes import PlaceMm, Plane

FIRST_EDGE_OF_AXIS = {1: 1, 2: 0}
"""Where a box `[x1, y1, x2, y2]` begins along the canonical axes y and x; it ends two numbers on."""


@dataclass(frozen=True, slots=True)
class CutBox:
    """A lesion that a section cuts.

    Attributes
    ----------
    group
        That of the lesion asked about, or one of those of which all are drawn in sections.
    corner, opposite
        Upper left and lower right corner on the section.
    is_asked
        Whether it is the lesion asked about.
    """

    group: str
    corner: PlaceMm
    opposite: PlaceMm
    is_asked: bool = True


@dataclass(frozen=True, slots=True)
class _Stack:
    """Cross-sections on neighbouring slices that lie over each other, as far as they have been met.

    Attributes
    ----------
    first, last
        Slices.
    low, high
        Edges of all of them along the rows of the section, in voxels.
    last_low, last_high
        Those of the last one.
    """

    first: int
    last: int
    low: float
    high: float
    last_low: float
    last_high: float

    def continued(self, low: float, high: float) -> "_Stack | None":
        """Return the stack with a cross-section on the next slice, None where that lies elsewhere."""
        if low >= self.last_high or high <= self.last_low:
            return None
        return _Stack(self.first, self.last + 1, min(self.low, low), max(self.high, high), low, high)


def cut_boxes(
    table: BoxTable, shown: Shown, asked: int | None, plane: Plane, section: int, geometry: VolumeGeometry
) -> tuple[CutBox, ...]:
    """Return the boxes of whole groups and, above them, the lesion asked about, where a section cuts what is shown.

    Cross-sections on neighbouring slices that lie over each other are one rectangle.

    Parameters
    ----------
    asked
        Number of the lesion asked about.
    plane
        Coronal or sagittal.
    section
        Index of the section.
    """
    row_mm, column_mm = plane.pixel_mm(geometry)
    is_cut = _is_cut(table, plane, section)
    is_asked = (table.lesion == asked) & (asked is not None)
    found: list[CutBox] = []
    for i, group in enumerate(table.groups):
        rows = is_cut & (table.group_index == i) if shown.has(group) else np.zeros_like(is_cut)
        whole = rows & ~is_asked if group in shown.in_sections else np.zeros_like(is_cut)
        found += [
            CutBox(
                group,
                (one.first * row_mm, one.low * column_mm),
                ((one.last + 1) * row_mm, one.high * column_mm),
                is_asked=chosen is not whole,
            )
            for chosen in (whole, rows & is_asked)
            for one in _stacks(table, chosen, plane)
        ]
    return tuple(sorted(found, key=lambda box: (box.is_asked, box.group != ANNOTATIONS)))


def _is_cut(table: BoxTable, plane: Plane, section: int) -> NDArray[np.bool_]:
    """Return which boxes have a part in the voxels of a section."""
    first = FIRST_EDGE_OF_AXIS[plane.across]
    cut: NDArray[np.bool_] = (table.boxes[:, first] < section + 1) & (table.boxes[:, first + 2] > section)
    return cut


def _stacks(table: BoxTable, rows: NDArray[np.bool_], plane: Plane) -> Iterable[_Stack]:
    first_edge = FIRST_EDGE_OF_AXIS[plane.right]
    ended: list[_Stack] = []
    growing: list[_Stack] = []
    for i in np.flatnonzero(rows):
        slice_index = int(table.slice_index[i])
        low, high = float(table.boxes[i, first_edge]), float(table.boxes[i, first_edge + 2])
        ended += [stack for stack in growing if stack.last < slice_index - 1]
        growing = [stack for stack in growing if stack.last >= slice_index - 1]
        below = [stack for stack in growing if stack.last == slice_index - 1]
        longer = next(((stack, grown) for stack in below if (grown := stack.continued(low, high))), None)
        if longer is not None:
            growing.remove(longer[0])
            growing.append(longer[1])
        else:
            growing.append(_Stack(slice_index, slice_index, low, high, low, high))
    return [*ended, *growing]
