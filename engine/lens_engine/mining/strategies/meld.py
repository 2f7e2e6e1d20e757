"""The mining of MELD, on single slices: matches teach classification only, the rest is background (algorithms 5.5).

Missing annotation matching takes every detected box that looks like an annotation of the patient, in any study, series
and slice. Negative region mining ignores what a single-type expert is sure of and trusts the rest of the slice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import overlaps
from lens_engine.findings import FUSED
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.places import Marks
from lens_engine.mining.rules.cross_dataset import uncertain_boxes
from lens_engine.mining.rules.evidence import known_lesions
from lens_engine.mining.rules.intra_patient import KnownLesions, match_lesions
from lens_engine.mining.settings import NO_OTHER_NAMES, MiningSettings, require_ranges
from lens_engine.mining.slices import NO_ROWS, rows_by_slice
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
class MeldSettings:
    """What the labels of MELD depend on.

    Attributes
    ----------
    distance_limit
        Two embeddings below it are one lesion (algorithms 5.5).
    matched_min_score
        Fused boxes below this score are not matched. Ours: as for the tracklets of LENS.
    suspicious_min_score
        A single-type expert must be surer than this (algorithms 5.5).
    overlap_ratio
        A box is at a known place when it shares more than this of its own or of the known area. Ours: as LENS (5.3).
    suspicious_nms_iou
        Of two suspicious boxes with a higher IoU the better one stays. Ours: as LENS (5.3).
    sampling_mm
        Distance of the slices that are mined (algorithms 5.5); annotated slices are mined besides.
    with_matching, with_negative_regions
        Which of the two is done (the rows of MELD Table 1).
    suspicious_as_lesions
        Teach suspicious places as lesions instead of ignoring them (the variant of MELD Table 4).
    """

    __pydantic_config__ = NO_OTHER_NAMES

    distance_limit: float = 0.15
    matched_min_score: float = 0.05
    suspicious_min_score: float = 0.5
    overlap_ratio: float = 0.5
    suspicious_nms_iou: float = 0.5
    sampling_mm: float = 5.0
    with_matching: bool = True
    with_negative_regions: bool = True
    suspicious_as_lesions: bool = False

    def __post_init__(self) -> None:
        shares = ("matched_min_score", "suspicious_min_score", "overlap_ratio", "suspicious_nms_iou")
        require_ranges(self, dict.fromkeys(shares, 1.0) | {"distance_limit": 2.0, "sampling_mm": None})

    @property
    def rules(self) -> MiningSettings:
        """The settings of those rules that it shares with LENS."""
        return MiningSettings(
            tracklet_min_score=self.matched_min_score,
            uncertain_min_score=self.suspicious_min_score,
            overlap_ratio=self.overlap_ratio,
            uncertain_nms_iou=self.suspicious_nms_iou,
        )


def mine_meld(inputs: Sequence[SeriesMiningInput], settings: MeldSettings) -> tuple[MinedLabels, ...]:
    """Return the labels of each universal series; its boxes are matched with all annotations of the patient."""
    known = known_lesions(inputs)
    return tuple(_labels(series, known[series.patient_id], settings) for series in mined_series(inputs))


def sampled_slices(series: SeriesMiningInput, sampling_mm: float) -> tuple[int, ...]:
    """Return the slices nearest to the multiples of a distance, and the annotated ones; all where they are thicker."""
    slice_mm = series.proposals.slice_spacing_mm
    steps = np.arange(0, (series.slices - 1) * slice_mm + 1e-6, max(sampling_mm, slice_mm))
    regular = np.floor(steps / slice_mm + 0.5).astype(np.intp).tolist()
    annotated = boxes_on_slices(annotation_labels(series))
    return tuple(sorted({index for index in regular if index < series.slices} | set(annotated)))


def matched_rows(series: SeriesMiningInput, settings: MeldSettings) -> NDArray[np.intp]:
    """Return the fused boxes that are matched with annotations, ascending: those of the slices that are mined."""
    fused, grid_of_slice = series.proposals.of(FUSED), SeriesSlices.of(series).grid_of_slice
    shown = [grid_of_slice[index] for index in sampled_slices(series, settings.sampling_mm)]
    return np.flatnonzero(np.isin(fused.grid_index, shown) & (fused.scores >= settings.matched_min_score))


def _labels(series: SeriesMiningInput, known: KnownLesions, settings: MeldSettings) -> MinedLabels:
    slices = sampled_slices(series, settings.sampling_mm)
    positives = annotation_labels(series)
    if settings.with_matching:
        positives += _matches(series, known, slices, settings)
    if not settings.with_negative_regions:
        return MinedLabels(series.series_id, tuple(positives))
    suspicious = _suspicious(series, positives, slices, settings)
    if settings.suspicious_as_lesions:
        positives, suspicious = positives + suspicious, []
    labels = MinedLabels(series.series_id, tuple(positives), tuple(suspicious))
    return replace(
        labels,
        negatives=tuple(
            NegativeSlice(LabelRule.NEGATIVE_REGION, index) for index in slices if index not in labels.positive_slices
        ),
    )


def _matches(
    series: SeriesMiningInput, known: KnownLesions, slices: Sequence[int], settings: MeldSettings
) -> list[MinedLabel]:
    """Return what looks like an annotation of the patient; beside an annotation, not on it."""
    annotated = annotation_labels(series)
    annotated_on = boxes_on_slices(annotated)
    fused = series.proposals.of(FUSED)
    fused = fused.take(np.flatnonzero(fused.scores >= settings.matched_min_score))
    matches = match_lesions(fused.embeddings.astype(np.float64), None, known, settings.distance_limit)
    match_of_row = {match.row: match for match in matches}
    rows_of_slice, grid_of_slice = rows_by_slice(fused.grid_index), SeriesSlices.of(series).grid_of_slice
    numbers = further_lesions(annotated)
    labels = []
    for index in slices:
        for row in rows_of_slice.get(grid_of_slice[index], NO_ROWS).tolist():
            box = fused.boxes[row : row + 1]
            if row not in match_of_row or (index in annotated_on and overlaps(box, annotated_on[index]).any()):
                continue
            match = match_of_row[row]
            labels.append(
                MinedLabel(
                    LabelRule.ANNOTATION_MATCHING,
                    Teaching.CLASSIFICATION,
                    (section(index, box[0], fused.scores[row]),),
                    next(numbers),
                    (match.annotation_id,),
                    match.distance,
                )
            )
    return labels


def _suspicious(
    series: SeriesMiningInput, positives: Sequence[MinedLabel], slices: Sequence[int], settings: MeldSettings
) -> list[MinedLabel]:
    grid_of_slice = SeriesSlices.of(series).grid_of_slice
    sections = [(grid_of_slice[item.slice_index], item.box) for label in positives for item in label.slices]
    places = Marks(
        owner=np.arange(len(sections)),
        grid_index=np.asarray([grid_index for grid_index, _ in sections], dtype=np.intp),
        boxes=np.asarray([box for _, box in sections], dtype=np.float64).reshape(-1, 4),
    )
    boxes = uncertain_boxes(series, [places], settings.rules)
    rows_of_slice = rows_by_slice(boxes.grid_index)
    teaches = Teaching.POSITIVE if settings.suspicious_as_lesions else Teaching.IGNORED
    numbers = further_lesions(positives)
    return [
        MinedLabel(
            LabelRule.NEGATIVE_REGION,
            teaches,
            (section(index, boxes.boxes[row], boxes.scores[row]),),
            next(numbers),
        )
        for index in slices
        for row in rows_of_slice.get(grid_of_slice[index], NO_ROWS).tolist()
    ]
