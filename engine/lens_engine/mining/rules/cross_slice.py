"""Cross-slice propagation: the lesion that was marked on one slice continues on its neighbours (algorithms 5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import overlaps
from lens_engine.findings import Finding, SliceBox
from lens_engine.mining.inputs import AnnotationOnSeries
from lens_engine.mining.places import marks_for_measuring
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.slices import NO_ROWS, rows_by_slice
from lens_engine.mining.tracklets import Tracklets
from lens_engine.stacking import nearest_grid_index


@dataclass(frozen=True, slots=True, eq=False)
class Continuations:
    """Which tracklets are annotated lesions.

    Attributes
    ----------
    tracklet
        (annotations,) the tracklet that continues each annotation best; -1 for none.
    iou
        (annotations,) its IoU on the annotated slice; 0 for none.
    """

    tracklet: NDArray[np.intp]
    iou: NDArray[np.float64]


def continue_annotations(
    tracklets: Tracklets, annotations: Sequence[AnnotationOnSeries], settings: MiningSettings
) -> Continuations:
    """Find for each annotation the tracklet with the highest IoU on an annotated slice, if above the threshold.

    Among equal IoUs the first tracklet wins. One tracklet may continue several annotations: marks of one lesion on
    different slices.
    """
    members = tracklets.members
    marks = marks_for_measuring(annotations, members.grid_spacing_mm, members.slice_spacing_mm)
    owner = tracklets.tracklet_of_member
    best = np.full(len(annotations), -1, dtype=np.intp)
    best_iou = np.zeros(len(annotations))
    rows_of_slice = rows_by_slice(members.grid_index)
    for mark in range(len(marks.owner)):
        rows = rows_of_slice.get(int(marks.grid_index[mark]), NO_ROWS)
        if rows.size == 0:
            continue
        ious = overlaps(members.boxes[rows], marks.boxes[mark : mark + 1])[:, 0]
        top, annotation = int(np.argmax(ious)), int(marks.owner[mark])
        if ious[top] > max(settings.key_slice_iou, best_iou[annotation]):
            best[annotation], best_iou[annotation] = owner[rows[top]], ious[top]
    return Continuations(best, best_iou)


def boxes_beside(
    tracklets: Tracklets, annotations: Sequence[AnnotationOnSeries], continuations: Continuations
) -> list[NDArray[np.intp]]:
    """Return for each annotation the rows of its tracklet on the grid slices above and below its key slice."""
    members = tracklets.members
    found: list[NDArray[np.intp]] = []
    for note, tracklet in zip(annotations, continuations.tracklet.tolist(), strict=True):
        if tracklet < 0 or note.key_slice is None:
            found.append(NO_ROWS)
            continue
        key = nearest_grid_index(note.key_slice, members.grid_spacing_mm, members.slice_spacing_mm)
        chain = tracklets.chains[tracklet]
        found.append(chain[np.abs(members.grid_index[chain] - key) == 1])
    return found


def keep_annotated_slices(finding: Finding, annotations: Sequence[AnnotationOnSeries]) -> Finding:
    """Return a continuation with the annotators' own boxes on the slices they annotated."""
    annotated = {section.slice_index: section for note in annotations for section in note.cross_sections()}
    slices = tuple(
        SliceBox(section.slice_index, annotated[section.slice_index].box)
        if section.slice_index in annotated
        else section
        for section in finding.slices
    )
    return replace(finding, slices=slices)


def reaches_beyond(finding: Finding, decided: Sequence[AnnotationOnSeries]) -> bool:
    """Tell whether a continuation has slices that no decided lesion has: what a reader accepted may be a part."""
    known = {section.slice_index for lesion in decided for section in lesion.cross_sections()}
    return bool(decided) and any(section.slice_index not in known for section in finding.slices)


def adds_slices(finding: Finding, annotations: Sequence[AnnotationOnSeries]) -> bool:
    """Tell whether a continuation says anything new: some annotation knows one slice only, and there are others."""
    annotated = {section.slice_index for note in annotations for section in note.cross_sections()}
    is_partial = any(note.key_slice is not None for note in annotations)
    return is_partial and any(section.slice_index not in annotated for section in finding.slices)
