"""The mining of Wang et al.: what annotated slices lack, then what their neighbours share with them (algorithms 5.6).

Missing ground truth is what the detector is sure of on an annotated slice and sees on a neighbouring one too. Then the
labels of the slice are carried to both neighbours, where a detected box agrees with them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import FloatArray, overlaps
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.settings import NO_OTHER_NAMES, require_ranges
from lens_engine.mining.strategies.copies import FusedOutput, ScoredBoxes
from lens_engine.mining.strategies.labels import LabelRule, MinedLabel, MinedLabels, Teaching
from lens_engine.mining.strategies.series_slices import (
    SeriesSlices,
    annotation_labels,
    boxes_on_slices,
    further_lesions,
    mined_series,
    section,
)


@dataclass(frozen=True, slots=True)
class WangSettings:
    """What the labels of Wang et al. depend on.

    Attributes
    ----------
    min_iou
        Boxes of neighbouring slices above this IoU support each other (tau, algorithms 5.6).
    min_score
        Missing ground truth must score more (alpha, algorithms 5.6).
    min_support
        Neighbouring slices, of the two, that must support a box: 1 in the published pseudo-code, 2 in its prose.
    propagated_min_score
        Boxes on a neighbour below this score are not taken. Ours: all are, as no threshold is published.
    same_box_iou
        Boxes of augmented copies above this IoU are one. Ours: as for distillation.
    with_missing, with_propagation
        Which of the two is done (the rows of Wang Table 2).
    """

    __pydantic_config__ = NO_OTHER_NAMES

    min_iou: float = 0.5
    min_score: float = 0.9
    min_support: int = 1
    propagated_min_score: float = 0.0
    same_box_iou: float = 0.5
    with_missing: bool = True
    with_propagation: bool = True

    def __post_init__(self) -> None:
        shares = ("min_iou", "min_score", "propagated_min_score", "same_box_iou")
        require_ranges(self, dict.fromkeys(shares, 1.0) | {"min_support": 2.0})


def mine_wang(inputs: Sequence[SeriesMiningInput], settings: WangSettings) -> tuple[MinedLabels, ...]:
    """Return the labels of each universal series on its own: of the annotated slices and of their neighbours.

    Missing ground truth is sought in the augmented copies, where the inputs have some.
    """
    return tuple(_labels(series, settings) for series in mined_series(inputs))


def missing_boxes(
    own: ScoredBoxes, above: ScoredBoxes, below: ScoredBoxes, labels: FloatArray, settings: WangSettings
) -> ScoredBoxes:
    """Return the missing ground truth of an annotated slice (Wang, algorithm 2).

    A sure box counts if enough neighbouring slices support it. Two sure boxes above and below that support each other
    count as their mean, where the slice itself has no box. What touches a label (n, 4) of the slice is left out.
    """
    support = [_best_iou(own.boxes, beside.boxes) > settings.min_iou for beside in (above, below)]
    is_found = (own.scores > settings.min_score) & (np.sum(support, axis=0) >= settings.min_support)
    bridged = _bridged(own, above, below, settings)
    boxes = np.concatenate([own.boxes[is_found], bridged.boxes])
    scores = np.concatenate([own.scores[is_found], bridged.scores])
    is_new = _best_iou(boxes, labels) == 0
    return ScoredBoxes(boxes[is_new], scores[is_new])


def propagated_rows(detected: FloatArray, labels: FloatArray, min_iou: float) -> NDArray[np.intp]:
    """Return the rows of a neighbour's boxes (n, 4) that agree with a label (m, 4) of a slice (Wang, algorithm 1)."""
    return np.flatnonzero(_best_iou(detected, labels) > min_iou)


def _best_iou(boxes: FloatArray, others: FloatArray) -> NDArray[np.float64]:
    """Return the highest IoU of each box with any of the others, (n,); 0 where there are none."""
    return np.asarray(overlaps(boxes, others).max(axis=1, initial=0.0), dtype=np.float64)


def _bridged(own: ScoredBoxes, above: ScoredBoxes, below: ScoredBoxes, settings: WangSettings) -> ScoredBoxes:
    """Return the means of sure boxes above and their best sure partners below, where the slice between has no box."""
    is_sure_above, is_sure_below = (beside.scores > settings.min_score for beside in (above, below))
    is_alone = _best_iou(above.boxes, own.boxes) == 0
    upper, lower = np.flatnonzero(is_sure_above & is_alone), np.flatnonzero(is_sure_below)
    if upper.size == 0 or lower.size == 0:
        return ScoredBoxes(np.zeros((0, 4)), np.zeros(0))
    ious = overlaps(above.boxes[upper], below.boxes[lower])
    partner = lower[ious.argmax(axis=1)]
    is_pair = ious.max(axis=1) > settings.min_iou
    upper, partner = upper[is_pair], partner[is_pair]
    return ScoredBoxes(
        (above.boxes[upper] + below.boxes[partner]) / 2, (above.scores[upper] + below.scores[partner]) / 2
    )


def _labels(series: SeriesMiningInput, settings: WangSettings) -> MinedLabels:
    positives = annotation_labels(series)
    if settings.with_missing:
        positives += _missing(series, positives, settings)
    if settings.with_propagation:
        positives += _propagated(series, positives, settings)
    return MinedLabels(series.series_id, tuple(positives))


def _missing(series: SeriesMiningInput, annotated: Sequence[MinedLabel], settings: WangSettings) -> list[MinedLabel]:
    output = FusedOutput(series.augmented or (series.proposals,), settings.same_box_iou)
    grid_of_slice, numbers = SeriesSlices.of(series).grid_of_slice, further_lesions(annotated)
    labels = []
    for index, boxes in sorted(boxes_on_slices(annotated).items()):
        grid_index = grid_of_slice[index]
        beside = output.at(grid_index - 1), output.at(grid_index + 1)
        found = missing_boxes(output.at(grid_index), *beside, boxes, settings)
        labels += [
            MinedLabel(LabelRule.MISSING_ON_SLICE, Teaching.POSITIVE, (section(index, box, score),), next(numbers))
            for box, score in zip(found.boxes, found.scores, strict=True)
        ]
    return labels


def _propagated(series: SeriesMiningInput, known: Sequence[MinedLabel], settings: WangSettings) -> list[MinedLabel]:
    """Return the labels of the neighbours; one that has labels itself gets none, one of two such slices each once."""
    shown_by, grid_of_slice = SeriesSlices.of(series).shown_by(), SeriesSlices.of(series).grid_of_slice
    output = FusedOutput((series.proposals,), settings.same_box_iou)
    labelled = {section.slice_index for label in known for section in label.slices}
    labels: dict[tuple[int, int], MinedLabel] = {}
    for label in known:
        for own in label.slices:
            for grid_index in _beside(grid_of_slice[own.slice_index], shown_by):
                free = [index for index in shown_by[grid_index] if index not in labelled]
                detected = output.at(grid_index)
                for row in propagated_rows(detected.boxes, np.asarray([own.box]), settings.min_iou).tolist():
                    score = float(detected.scores[row])
                    if free and score >= settings.propagated_min_score:
                        sections = tuple(section(index, detected.boxes[row], score) for index in free)
                        labels.setdefault(
                            (grid_index, row),
                            MinedLabel(
                                LabelRule.PROPAGATION, Teaching.POSITIVE, sections, label.lesion, label.annotation_ids
                            ),
                        )
    return list(labels.values())


def _beside(grid_index: int, shown_by: Iterable[int]) -> list[int]:
    """Return the next grid slice above and below that shows a slice of the series."""
    shown = frozenset(shown_by)
    first, last = min(shown), max(shown)
    above = next((index for index in count(grid_index - 1, -1) if index in shown or index < first), first - 1)
    below = next((index for index in count(grid_index + 1) if index in shown or index > last), last + 1)
    return [index for index in (above, below) if index in shown]
