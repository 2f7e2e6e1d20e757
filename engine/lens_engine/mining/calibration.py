"""How near two embeddings must be to mean one lesion, learned from comparisons that are wrong by construction.

The published 0.15 belongs to the published embedding. For any other, the limit is set where a comparison with a wrong
patient hardly ever succeeds: an annotation of one patient against all tracklets of one other patient is such a
comparison, and its result is the smallest distance it finds. What the limit is worth is told from comparisons that are
right by construction: an annotation against the boxes that continue it on the neighbouring grid slices. A lesion looks
more alike there than in a follow-up study, whose partner nobody knows yet: the recall is the most to hope for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.mining.inputs import SeriesMiningInput, require_one_length
from lens_engine.mining.rules.cross_slice import continue_annotations
from lens_engine.mining.rules.intra_patient import embedding_distances
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.tracklets import Tracklets, build_tracklets
from lens_engine.stacking import nearest_grid_index


@dataclass(frozen=True, slots=True)
class CalibratedLimit:
    """The distance below which two embeddings count as one lesion.

    Attributes
    ----------
    value
        The limit, in [0, 2].
    pairs
        Comparisons (one annotation, one other patient) that were measured.
    is_calibrated
        False if `value` is the published one.
    note
        For the log and the reader: where the limit comes from and what it is worth.
    same_lesion_pairs
        Comparisons of an annotation with its own lesion on a neighbouring grid slice.
    recall
        Share of those that lie below the limit; None without any.
    precision
        Share of right ones among all comparisons below the limit, if as many were right as wrong; None where nothing
        lies below it or one kind could not be measured.
    """

    value: float
    pairs: int
    is_calibrated: bool
    note: str
    same_lesion_pairs: int = 0
    recall: float | None = None
    precision: float | None = None


def calibrate_distance_limit(
    inputs: Iterable[SeriesMiningInput], settings: MiningSettings | None = None
) -> CalibratedLimit:
    """Return the largest limit that lets at most the set share of wrong comparisons through.

    Parameters
    ----------
    inputs
        Series of many patients, in any order; read once. Patients beyond the first `calibration_patients` are skipped.

    Raises
    ------
    BoxError
        If the embeddings have different lengths.
    """
    settings = settings or MiningSettings()
    seen = _embeddings_of_patients(inputs, settings)
    wrong = _nearest_in_wrong_patients(seen)
    right = np.concatenate([np.zeros(0), *(part.to_own_lesion for parts in seen.values() for part in parts)])
    if len(wrong) < max(settings.min_calibration_pairs, 1):
        value, is_calibrated = settings.published_distance_limit, False
        origin = (
            f"Only {len(wrong)} comparisons between patients are possible, {settings.min_calibration_pairs} are "
            f"needed: the published distance limit {value} is used, which was found for another embedding"
        )
    else:
        allowed = int(settings.max_cross_patient_share * len(wrong))
        value, is_calibrated = float(np.sort(wrong)[min(allowed, len(wrong) - 1)]), True
        share = float((wrong < value).mean())
        origin = f"Distance limit {value:.3f}: {share:.1%} of {len(wrong)} comparisons between patients lie below it"
    recall, precision = _worth(right, wrong, value)
    note = f"{origin}. {_worth_in_words(len(right), recall, precision)}."
    return CalibratedLimit(value, len(wrong), is_calibrated, note, len(right), recall, precision)


@dataclass(frozen=True, slots=True, eq=False)
class _Looks:
    """The embeddings of one series, and the distances of its annotations to their lesions on neighbouring slices."""

    annotations: tuple[NDArray[np.float64], ...]
    tracklets: NDArray[np.float64]
    to_own_lesion: NDArray[np.float64]


def _embeddings_of_patients(inputs: Iterable[SeriesMiningInput], settings: MiningSettings) -> dict[int, list[_Looks]]:
    patients: dict[int, list[_Looks]] = {}
    for series in inputs:
        if series.patient_id not in patients and len(patients) >= settings.calibration_patients:
            continue
        tracklets = build_tracklets(series.proposals, settings)
        embedded = tracklets.embeddings
        looks = _Looks(
            tuple(note.embedding.astype(np.float64) for note in series.annotations if note.embedding is not None),
            embedded[embedded.any(axis=1)],
            _distances_to_own_lesion(series, tracklets, settings),
        )
        patients.setdefault(series.patient_id, []).append(looks)
    return patients


def _distances_to_own_lesion(
    series: SeriesMiningInput, tracklets: Tracklets, settings: MiningSettings
) -> NDArray[np.float64]:
    """Return the distance of each continued annotation to its tracklet above and below the annotated grid slice."""
    members = tracklets.members
    continued = continue_annotations(tracklets, series.annotations, settings).tracklet
    distances = [np.zeros(0)]
    for note, tracklet in zip(series.annotations, continued.tolist(), strict=True):
        if tracklet < 0 or note.embedding is None or note.key_slice is None:
            continue
        key = nearest_grid_index(note.key_slice, members.grid_spacing_mm, members.slice_spacing_mm)
        chain = tracklets.chains[tracklet]
        beside = chain[np.abs(members.grid_index[chain] - key) == 1]
        own = note.embedding[None].astype(np.float64)
        distances.append(embedding_distances(own, members.embeddings[beside].astype(np.float64))[0])
    measured = np.concatenate(distances)
    return measured[np.isfinite(measured)]


def _nearest_in_wrong_patients(patients: Mapping[int, Sequence[_Looks]]) -> NDArray[np.float64]:
    """Return the smallest distance of each annotation to the tracklets of each other patient that has any."""
    require_one_length(
        [row for parts in patients.values() for part in parts for row in (*part.annotations, *part.tracklets[:1])]
    )
    nearest = [np.zeros(0)]
    for patient, parts in patients.items():
        theirs = [part.tracklets for part in parts if len(part.tracklets)]
        others = [
            row for owner, own in patients.items() if owner != patient for part in own for row in part.annotations
        ]
        if theirs and others:
            nearest.append(embedding_distances(np.asarray(others), np.concatenate(theirs)).min(axis=1))
    distances = np.concatenate(nearest)
    return distances[np.isfinite(distances)]


def _worth(right: NDArray[np.float64], wrong: NDArray[np.float64], limit: float) -> tuple[float | None, float | None]:
    """Return recall and precision of a limit."""
    if len(right) == 0:
        return None, None
    recall = float((right < limit).mean())
    if len(wrong) == 0:
        return recall, None
    below = recall + float((wrong < limit).mean())
    return recall, recall / below if below > 0 else None


def _worth_in_words(pairs: int, recall: float | None, precision: float | None) -> str:
    if recall is None:
        return "Its recall is unknown, for no annotation is continued on a neighbouring slice"
    words = f"It has recall {recall:.1%} of {pairs} pairs of one lesion on neighbouring slices"
    if precision is None:
        return f"{words}, precision unknown"
    return f"{words}, precision {precision:.1%} among as many right as wrong comparisons"
