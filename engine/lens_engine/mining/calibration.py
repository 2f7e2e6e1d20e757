"""How near two embeddings must be to mean one lesion, learned from comparisons that are wrong by construction.

The published 0.15 belongs to the published embedding. For any other, the limit is set where a comparison with a wrong
patient hardly ever succeeds: an annotation of one patient against all tracklets of one other patient is such a
comparison, and its result is the smallest distance it finds.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.rules.intra_patient import embedding_distances
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.tracklets import build_tracklets


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
        One sentence for the log and the reader.
    """

    value: float
    pairs: int
    is_calibrated: bool
    note: str


def calibrate_distance_limit(
    inputs: Iterable[SeriesMiningInput], settings: MiningSettings | None = None
) -> CalibratedLimit:
    """Return the largest limit that lets at most the set share of wrong comparisons through.

    Parameters
    ----------
    inputs
        Series of many patients, in any order; read once. Patients beyond the first `calibration_patients` are skipped.
    """
    settings = settings or MiningSettings()
    annotations, tracklets = _embeddings_of_patients(inputs, settings)
    nearest = _nearest_in_wrong_patients(annotations, tracklets)
    if len(nearest) < max(settings.min_calibration_pairs, 1):
        return CalibratedLimit(
            settings.published_distance_limit,
            len(nearest),
            False,
            f"Only {len(nearest)} comparisons between patients are possible, {settings.min_calibration_pairs} are "
            f"needed: the published distance limit {settings.published_distance_limit} is used, which was found for "
            "another embedding",
        )
    allowed = int(settings.max_cross_patient_share * len(nearest))
    value = float(np.sort(nearest)[min(allowed, len(nearest) - 1)])
    share = float((nearest < value).mean())
    return CalibratedLimit(
        value,
        len(nearest),
        True,
        f"Distance limit {value:.3f}: {share:.1%} of {len(nearest)} comparisons between patients lie below it",
    )


def _embeddings_of_patients(
    inputs: Iterable[SeriesMiningInput], settings: MiningSettings
) -> tuple[dict[int, list[NDArray[np.float64]]], dict[int, list[NDArray[np.float64]]]]:
    annotations: dict[int, list[NDArray[np.float64]]] = {}
    tracklets: dict[int, list[NDArray[np.float64]]] = {}
    for series in inputs:
        if series.patient_id not in tracklets and len(tracklets) >= settings.calibration_patients:
            continue
        embedded = build_tracklets(series.proposals, settings).embeddings
        tracklets.setdefault(series.patient_id, []).append(embedded[embedded.any(axis=1)])
        annotations.setdefault(series.patient_id, []).extend(
            note.embedding.astype(np.float64) for note in series.annotations if note.embedding is not None
        )
    return annotations, tracklets


def _nearest_in_wrong_patients(
    annotations: dict[int, list[NDArray[np.float64]]], tracklets: dict[int, list[NDArray[np.float64]]]
) -> NDArray[np.float64]:
    """Return the smallest distance of each annotation to the tracklets of each other patient that has any."""
    nearest = [np.zeros(0)]
    for patient, parts in tracklets.items():
        theirs = np.concatenate(parts)
        others = [embedding for owner, rows in annotations.items() if owner != patient for embedding in rows]
        if len(theirs) and others:
            nearest.append(embedding_distances(np.asarray(others), theirs).min(axis=1))
    distances = np.concatenate(nearest)
    return distances[np.isfinite(distances)]
