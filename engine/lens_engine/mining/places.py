"""Where annotations lie on the grid of the detector, and which boxes lie at the same place.

An annotation belongs to slices of the series, a proposal to a grid slice. For measuring, an annotated slice is taken at
its nearest grid slice (algorithms 5.0); for avoiding it, at every grid slice that is nearer to it than to other slices.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import FloatArray, Overlap, centres, overlaps
from lens_engine.mining.inputs import AnnotationOnSeries
from lens_engine.mining.slices import rows_by_slice
from lens_engine.stacking import nearest_grid_index


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """Boxes on grid slices, each belonging to something.

    Attributes
    ----------
    owner
        (n,) row of the annotation (or tracklet) that each box belongs to.
    grid_index
        (n,) grid slice.
    boxes
        (n, 4), `[x1, y1, x2, y2]`.
    """

    owner: NDArray[np.intp]
    grid_index: NDArray[np.intp]
    boxes: NDArray[np.float64]


def marks_for_measuring(annotations: Sequence[AnnotationOnSeries], grid_mm: float, slice_mm: float) -> Marks:
    """Return each annotated cross-section on its nearest grid slice."""
    rows = [
        (owner, nearest_grid_index(section.slice_index, grid_mm, slice_mm), section.box)
        for owner, annotation in enumerate(annotations)
        for section in annotation.cross_sections()
    ]
    return _marks(rows)


def marks_for_avoiding(annotations: Sequence[AnnotationOnSeries], grid_mm: float, slice_mm: float) -> Marks:
    """Return each annotated cross-section on every grid slice it stands for, at least the nearest one."""
    rows = []
    for owner, annotation in enumerate(annotations):
        for section in annotation.cross_sections():
            nearest = nearest_grid_index(section.slice_index, grid_mm, slice_mm)
            first = math.ceil((section.slice_index - 0.5) * slice_mm / grid_mm)
            last = math.floor((section.slice_index + 0.5) * slice_mm / grid_mm)
            rows += [(owner, j, section.box) for j in range(min(first, nearest), max(last, nearest) + 1)]
    return _marks(rows)


def lies_at(
    boxes: FloatArray, grid_index: NDArray[np.integer], marks: Marks, overlap_ratio: float
) -> NDArray[np.bool_]:
    """Return which boxes lie at the place of a mark, (n,).

    A box does when, on the same grid slice, it shares more than `overlap_ratio` of its own area or of the mark's. A
    high IoU implies that; unlike IoU it also sees a tight box inside its padded twin (algorithms 5.3).
    """
    result = np.zeros(len(boxes), dtype=np.bool_)
    rows_of_slice = rows_by_slice(grid_index)
    for slice_index, marked in rows_by_slice(marks.grid_index).items():
        if slice_index in rows_of_slice:
            rows = rows_of_slice[slice_index]
            shares = overlaps(boxes[rows], marks.boxes[marked], Overlap.IOBBGT)
            result[rows] = (shares > overlap_ratio).any(axis=1)
    return result


def holds_centre(box: FloatArray, others: FloatArray) -> NDArray[np.bool_]:
    """Return which of `others` (n, 6) hold the centre of one box (1, 6), or have theirs inside it, (n,)."""
    own_centre, centre = centres(box), centres(others)
    holds = ((others[:, :3] <= own_centre) & (own_centre < others[:, 3:])).all(axis=1)
    is_held = ((box[:, :3] <= centre) & (centre < box[:, 3:])).all(axis=1)
    return np.asarray(holds | is_held)


def _marks(rows: Sequence[tuple[int, int, tuple[float, float, float, float]]]) -> Marks:
    return Marks(
        owner=np.asarray([owner for owner, _, _ in rows], dtype=np.intp),
        grid_index=np.asarray([grid_index for _, grid_index, _ in rows], dtype=np.intp),
        boxes=np.asarray([box for _, _, box in rows], dtype=np.float64).reshape(-1, 4),
    )
