"""One lesion in several series of an examination: other kernels, slice thicknesses or phases in the same coordinates.

A reader answers once. Two series are siblings where they are of one study and in one frame of reference, as their
headers say; two of their candidates are one lesion where their boxes are the same place in millimetres.
"""

import math
from collections.abc import Sequence

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from lens_engine.boxes import overlaps
from lens_engine.findings import Box3D, SliceBox, box_from_slices
from lens_engine.geometry import VolumeGeometry
from lens_engine.store.decision_rules import is_same_place
from lens_engine.store.schema import CandidateRow, SeriesRow

EDGE = 0.5
"""From the centre of a voxel to its edge."""


def siblings_of(session: Session, candidates: Sequence[CandidateRow]) -> dict[int, tuple[CandidateRow, ...]]:
    """Return the candidates that show the same lesion in sibling series, by the id of each given one that has any.

    One of each series at most: the one that overlaps most.

    Parameters
    ----------
    candidates
        Of one series and one mining run.
    """
    here = session.get_one(SeriesRow, candidates[0].series_id) if candidates else None
    if here is None or here.frame_hash is None or here.geometry is None:
        return {}
    query = (
        select(CandidateRow, SeriesRow.geometry)
        .join(SeriesRow, SeriesRow.id == CandidateRow.series_id)
        .where(
            CandidateRow.mining_run_id == candidates[0].mining_run_id,
            SeriesRow.study_id == here.study_id,
            SeriesRow.frame_hash == here.frame_hash,
            SeriesRow.id != here.id,
            SeriesRow.geometry.is_not(None),
        )
        .order_by(CandidateRow.id)
    )
    geometry = VolumeGeometry.from_dict(here.geometry)
    grids: dict[int, VolumeGeometry] = {}
    others: list[tuple[CandidateRow, Box3D]] = []
    for other, there in session.execute(query):
        if other.series_id not in grids:
            grids[other.series_id] = VolumeGeometry.from_dict(there)
        others.append((other, box_in(other.box, grids[other.series_id], geometry)))
    found = {one.id: _best_of_each_series(one, others) for one in candidates}
    return {number: rows for number, rows in found.items() if rows}


def _best_of_each_series(one: CandidateRow, others: Sequence[tuple[CandidateRow, Box3D]]) -> tuple[CandidateRow, ...]:
    best: dict[int, tuple[float, CandidateRow]] = {}
    for other, box in others:
        if is_same_place(one.box, box):
            overlap = float(overlaps(np.asarray([one.box]), np.asarray([box]))[0, 0])
            if other.series_id not in best or overlap > best[other.series_id][0]:
                best[other.series_id] = (overlap, other)
    return tuple(row for _, row in best.values())


def box_in(box: Box3D, here: VolumeGeometry, there: VolumeGeometry) -> Box3D:
    """Return the smallest box in the voxels of another grid that holds a box of this one."""
    x1, y1, z1, x2, y2, z2 = box
    corners = np.asarray([(z, y, x) for z in (z1, z2) for y in (y1, y2) for x in (x1, x2)], dtype=np.float64)
    moved = there.mm_to_index(here.index_to_mm(corners - EDGE)) + EDGE
    low, high = moved.min(axis=0), moved.max(axis=0)
    return (*(float(edge) for edge in low[::-1]), *(float(edge) for edge in high[::-1]))  # type: ignore[return-value]


def slices_in(slices: Sequence[SliceBox], here: VolumeGeometry, there: VolumeGeometry) -> tuple[SliceBox, ...]:
    """Return the cross-sections of a lesion on the slices of another grid, each from the nearest slice of this one.

    Those that would lie outside the other volume are left out.
    """
    hull = box_in(box_from_slices(slices), here, there)
    first, last = math.ceil(hull[2] - EDGE), math.ceil(hull[5] - EDGE) - 1
    if last < first:  # thinner than a slice, between two centres
        first = last = math.floor((hull[2] + hull[5]) / 2)
    middle = ((hull[1] + hull[4]) / 2 - EDGE, (hull[0] + hull[3]) / 2 - EDGE)
    depth, height, width = there.shape
    found: list[SliceBox] = []
    for index in range(max(first, 0), min(last, depth - 1) + 1):
        z = here.mm_to_index(there.index_to_mm(np.asarray((index, *middle))))[0]
        nearest = min(slices, key=lambda one: abs(one.slice_index - z))
        x1, y1, x2, y2 = nearest.box
        moved = box_in((x1, y1, nearest.slice_index, x2, y2, nearest.slice_index + 1), here, there)
        section = max(moved[0], 0.0), max(moved[1], 0.0), min(moved[3], width), min(moved[4], height)
        if section[0] < section[2] and section[1] < section[3]:
            found.append(SliceBox(index, (*map(float, section),), nearest.score))  # type: ignore[arg-type]
    return tuple(found)
