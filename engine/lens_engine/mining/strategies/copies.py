"""Boxes found in several changed copies of one slice, fused by weighted averaging (algorithms 5.7)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import overlaps
from lens_engine.findings import FUSED
from lens_engine.mining.slices import NO_ROWS, rows_by_slice
from lens_engine.proposals import Proposals


@dataclass(frozen=True, slots=True, eq=False)
class ScoredBoxes:
    """Boxes of one slice, the best first.

    Attributes
    ----------
    boxes
        (n, 4), `[x1, y1, x2, y2]`.
    scores
        (n,), in [0, 1].
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]


NO_BOXES = ScoredBoxes(np.zeros((0, 4)), np.zeros(0))
"""A slice on which nothing is seen."""


def fuse_copies(copies: Sequence[ScoredBoxes], same_box_iou: float) -> ScoredBoxes:
    """Return one box for each group of boxes that mean the same.

    The best box that is left opens a group and takes in all that overlap it by more than `same_box_iou`. Its place is
    their mean, weighted by score; its score the mean over the copies of the best score of each, 0 where a copy does not
    see it (ours).
    """
    boxes = np.concatenate([NO_BOXES.boxes, *(copy.boxes for copy in copies)])
    scores = np.concatenate([NO_BOXES.scores, *(copy.scores for copy in copies)])
    copy_of_row = np.repeat(np.arange(len(copies)), [len(copy.scores) for copy in copies])
    left = np.argsort(-scores, kind="stable")
    fused_boxes, fused_scores = [], []
    while left.size:
        is_same = overlaps(boxes[left[:1]], boxes[left])[0] > same_box_iou
        is_same[0] = True  # also where the box is empty
        group, left = left[is_same], left[~is_same]
        weights = scores[group] if scores[group].sum() > 0 else np.ones(len(group))
        best = np.zeros(len(copies))
        np.maximum.at(best, copy_of_row[group], scores[group])
        fused_boxes.append(np.average(boxes[group], axis=0, weights=weights))
        fused_scores.append(float(best.mean()))
    order = np.argsort(-np.asarray(fused_scores), kind="stable")
    return ScoredBoxes(np.asarray(fused_boxes).reshape(-1, 4)[order], np.asarray(fused_scores, dtype=np.float64)[order])


class FusedOutput:
    """The fused boxes of a detector, slice by slice; of several copies of a scan, fused once more."""

    def __init__(self, copies: Sequence[Proposals], same_box_iou: float) -> None:
        self._copies = [copy.of(FUSED) for copy in copies]
        self._rows = [rows_by_slice(copy.grid_index) for copy in self._copies]
        self._same_box_iou = same_box_iou

    def at(self, grid_index: int) -> ScoredBoxes:
        """Return the boxes on a grid slice; those of a single copy as they are."""
        found = []
        for copy, rows_of_slice in zip(self._copies, self._rows, strict=True):
            rows = rows_of_slice.get(grid_index, NO_ROWS)
            found.append(ScoredBoxes(copy.boxes[rows].astype(np.float64), copy.scores[rows].astype(np.float64)))
        return found[0] if len(found) == 1 else fuse_copies(found, self._same_box_iou)
