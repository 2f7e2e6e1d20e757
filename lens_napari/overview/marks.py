"""What is marked on the projections of a series: every lesion that is shown, as one box. No Qt, no napari."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lens_engine.findings import Box3D, SliceBox, box_from_slices
from lens_engine.geometry import VolumeGeometry
from lens_napari.review.box_table import CANDIDATES, NO_LESION, BoxState, BoxTable, Shown
from lens_napari.sections.planes import PlaceMm, Plane

FIRST_EDGE_OF_AXIS = {0: 2, 1: 1, 2: 0}
"""Where a 3D box begins along the canonical axes z, y and x; it ends three numbers on."""

NumberOf = Callable[[int], int | None]
"""Returns the number of a lesion in the list, from 1."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One lesion.

    Attributes
    ----------
    group
        An expert, the fusion, annotations or candidates.
    lesion
        Its candidate id, that of a drawn one below 0, or `NO_LESION` where nobody is asked about it.
    number
        In the list of lesions; None for all that is not in it.
    """

    group: str
    box: Box3D
    lesion: int
    state: BoxState
    number: int | None

    def corners(self, plane: Plane, geometry: VolumeGeometry) -> tuple[PlaceMm, PlaceMm]:
        """Return the upper left and the lower right corner on a projection across a plane, in mm."""
        rows, columns = FIRST_EDGE_OF_AXIS[plane.down], FIRST_EDGE_OF_AXIS[plane.right]
        row_mm, column_mm = plane.pixel_mm(geometry)
        return (
            (self.box[rows] * row_mm, self.box[columns] * column_mm),
            (self.box[rows + 3] * row_mm, self.box[columns + 3] * column_mm),
        )

    def middle(self, plane: Plane, geometry: VolumeGeometry) -> PlaceMm:
        """Return its middle on a projection, in mm."""
        (top, left), (bottom, right) = self.corners(plane, geometry)
        return (top + bottom) / 2, (left + right) / 2


def marks_of(
    table: BoxTable,
    shown: Shown,
    states: Mapping[int, BoxState],
    changed: Mapping[int, Sequence[SliceBox]],
    number_of: NumberOf,
) -> tuple[Mark, ...]:
    """Return the lesions that are shown in any slice of a series, the one asked about last, which lies on top.

    Lesions in `changed`, by number, have these cross-sections, whatever the table says of them.
    """
    marks = [mark for mark in _of_table(table, shown, states, number_of) if mark.lesion not in changed]
    if shown.has(CANDIDATES):
        marks += [
            Mark(CANDIDATES, box_from_slices(slices), lesion, states.get(lesion, BoxState.PLAIN), number_of(lesion))
            for lesion, slices in changed.items()
            if slices
        ]
    if shown.alone is not None:
        marks = [one for one in marks if one.group != CANDIDATES or one.state is BoxState.ASKED]
    return tuple(sorted(marks, key=lambda mark: mark.state is BoxState.ASKED))


def _of_table(table: BoxTable, shown: Shown, states: Mapping[int, BoxState], number_of: NumberOf) -> Iterator[Mark]:
    limits = np.asarray([shown.thresholds.get(group, 0.0) for group in table.groups], dtype=np.float32)
    is_on = np.asarray([shown.has(group) for group in table.groups])
    kept = np.flatnonzero(is_on[table.group_index] & (table.scores >= limits[table.group_index]))
    if not len(kept):
        return
    kept = kept[np.argsort(table.row[kept], kind="stable")]
    first = np.flatnonzero(np.diff(table.row[kept], prepend=-1))
    low = np.minimum.reduceat(table.boxes[kept, :2], first)
    high = np.maximum.reduceat(table.boxes[kept, 2:], first)
    top, bottom = (
        np.minimum.reduceat(table.slice_index[kept], first),
        np.maximum.reduceat(table.slice_index[kept], first),
    )
    for i, one in enumerate(kept[first]):
        lesion = int(table.lesion[one])
        (x1, y1), (x2, y2) = low[i].tolist(), high[i].tolist()
        yield Mark(
            group=table.groups[table.group_index[one]],
            box=(x1, y1, float(top[i]), x2, y2, float(bottom[i] + 1)),
            lesion=lesion,
            state=states.get(lesion, BoxState.PLAIN),
            number=None if lesion == NO_LESION else number_of(lesion),
        )
