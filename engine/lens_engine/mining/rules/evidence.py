"""What the rules say about the tracklets of one series, before it becomes questions or labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.mining.inputs import AnnotationOnSeries, SeriesMiningInput
from lens_engine.mining.places import Marks, lies_at, marks_for_avoiding
from lens_engine.mining.rules.cross_slice import Continuations, continue_annotations
from lens_engine.mining.rules.intra_patient import Known, KnownLesions, Match, match_lesions
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.tracklets import Tracklets, build_tracklets


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Which tracklets of one series are missing annotations.

    Attributes
    ----------
    continuations
        Which tracklet continues each annotation.
    continued
        The tracklets that continue any, ascending.
    decided_continuations
        Which tracklet continues each lesion that a reader decided.
    matches, matched
        What resembles a lesion of another series, and the tracklet of each match. A tracklet at an annotation is none.
    known_places
        Where annotations and missing annotations lie: nothing there is uncertain.
    """

    tracklets: Tracklets
    continuations: Continuations
    continued: NDArray[np.intp]
    decided_continuations: Continuations
    matches: tuple[Match, ...]
    matched: NDArray[np.intp]
    known_places: tuple[Marks, ...]


def gather_evidence(
    series: SeriesMiningInput, known: KnownLesions, settings: MiningSettings, distance_limit: float
) -> Evidence:
    """Build the tracklets of a series and apply the rules for missing annotations to them.

    Parameters
    ----------
    known
        The embedded annotations of the patient, and what readers decided.
    """
    proposals = series.proposals
    tracklets = build_tracklets(proposals, settings)
    annotated = marks_for_avoiding(series.annotations, proposals.grid_spacing_mm, proposals.slice_spacing_mm)
    continuations = continue_annotations(tracklets, series.annotations, settings)
    continued = np.unique(continuations.tracklet[continuations.tracklet >= 0])

    is_annotated = np.zeros(len(tracklets.chains), dtype=np.bool_)
    at_annotation = lies_at(tracklets.members.boxes, tracklets.members.grid_index, annotated, settings.overlap_ratio)
    is_annotated[tracklets.tracklet_of_member[at_annotation]] = True
    is_annotated[continued] = True
    free = np.flatnonzero(~is_annotated)
    matches = match_lesions(tracklets.embeddings[free], series.series_id, known, distance_limit)
    matched = np.asarray([free[match.row] for match in matches], dtype=np.intp)
    decided = continue_annotations(tracklets, series.decided, settings)
    known_places = (annotated, tracklets.marks(continued), tracklets.marks(matched))
    return Evidence(tracklets, continuations, continued, decided, tuple(matches), matched, known_places)


def known_lesions(inputs: Sequence[SeriesMiningInput]) -> dict[int, KnownLesions]:
    """Return the embedded annotations of each patient, and what readers decided."""
    annotations: dict[int, list[Known]] = {series.patient_id: [] for series in inputs}
    decided: dict[int, list[Known]] = {series.patient_id: [] for series in inputs}
    for series in inputs:
        annotations[series.patient_id] += _embedded(series.series_id, series.annotations)
        decided[series.patient_id] += _embedded(series.series_id, series.decided)
    return {patient: KnownLesions.gather(annotations[patient], decided[patient]) for patient in annotations}


def _embedded(series_id: int, lesions: Sequence[AnnotationOnSeries]) -> list[Known]:
    return [(lesion.id, series_id, lesion.embedding) for lesion in lesions if lesion.embedding is not None]
