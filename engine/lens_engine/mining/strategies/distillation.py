"""Data distillation: whatever one detector is sure of in several changed copies of a scan is a lesion.

See algorithms 5.7.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lens_engine.boxes import Overlap, overlaps
from lens_engine.errors import ConfigError
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.settings import NO_OTHER_NAMES, require_ranges
from lens_engine.mining.strategies.copies import FusedOutput
from lens_engine.mining.strategies.labels import LabelRule, MinedLabel, MinedLabels, NegativeSlice, Teaching
from lens_engine.mining.strategies.series_slices import (
    SeriesSlices,
    annotation_labels,
    boxes_on_slices,
    further_lesions,
    mined_series,
    section,
)


@dataclass(frozen=True, slots=True)
class DistillationSettings:
    """What distilled labels depend on.

    Attributes
    ----------
    copies
        Augmented copies of each scan that are needed at least (LENS, algorithms 5.7).
    min_score
        Fused boxes must score more. Ours for the comparison in LENS; Wang et al. published 0.9 (algorithms 5.7).
    same_box_iou
        Boxes of different copies above this IoU are one. Ours (algorithms 5.7).
    overlap_ratio
        A box that shares more than this of its own or of an annotated area is that annotation. Ours: as LENS (5.3).
    """

    __pydantic_config__ = NO_OTHER_NAMES

    copies: int = 3
    min_score: float = 0.5
    same_box_iou: float = 0.5
    overlap_ratio: float = 0.5

    def __post_init__(self) -> None:
        shares = ("min_score", "same_box_iou", "overlap_ratio")
        require_ranges(self, dict.fromkeys(shares, 1.0) | {"copies": None})


def mine_distillation(inputs: Sequence[SeriesMiningInput], settings: DistillationSettings) -> tuple[MinedLabels, ...]:
    """Return the labels of each universal series on its own.

    Raises
    ------
    ConfigError
        If a series has too few augmented copies.
    """
    for series in mined_series(inputs):
        if len(series.augmented) < max(settings.copies, 1):
            raise ConfigError(
                f"Series {series.series_id} has detections of {len(series.augmented)} augmented copies",
                f"Data distillation needs {max(settings.copies, 1)}",
                "Detect in augmented copies, or choose another mining strategy",
            )
    return tuple(_labels(series, settings) for series in mined_series(inputs))


def _labels(series: SeriesMiningInput, settings: DistillationSettings) -> MinedLabels:
    output = FusedOutput(series.augmented, settings.same_box_iou)
    positives = annotation_labels(series)
    annotated_on, numbers = boxes_on_slices(positives), further_lesions(positives)
    for grid_index, slices in SeriesSlices.of(series).shown_by().items():
        found = output.at(grid_index)
        for row in np.flatnonzero(found.scores > settings.min_score).tolist():
            box, score = found.boxes[row : row + 1], float(found.scores[row])
            sections = tuple(
                section(index, box[0], score)
                for index in slices
                if index not in annotated_on
                or not (overlaps(box, annotated_on[index], Overlap.IOBBGT) > settings.overlap_ratio).any()
            )
            if sections:
                positives.append(MinedLabel(LabelRule.DISTILLATION, Teaching.POSITIVE, sections, next(numbers)))
    shown = {item.slice_index for label in positives for item in label.slices}
    negatives = (NegativeSlice(LabelRule.UNLABELLED, index) for index in range(series.slices) if index not in shown)
    return MinedLabels(series.series_id, tuple(positives), negatives=tuple(negatives))
