"""How near two embeddings must be to mean one lesion, learned from comparisons that are wrong by construction.

The published 0.15 belongs to the published embedding. For any other, the limit is set where a comparison with a wrong
patient hardly ever succeeds: an annotation of one patient against all tracklets of one other patient is such a
comparison, and its result is the smallest distance it finds. Where too few patients are there for that, the limit of
the embedding's card is taken, which was found in the same way when it was made; without one, the published limit.

What the limit is worth is told from comparisons that are right: annotations of one lesion in two series, where somebody
said so, and annotations against the boxes that continue them on the neighbouring grid slices. A lesion looks more alike
there than in another study: that recall is the most to hope for, and where partners are known theirs comes first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lens_engine.checkpoint_card import MeasuredLimit
from lens_engine.mining.inputs import SeriesMiningInput, require_one_length
from lens_engine.mining.rules.cross_slice import boxes_beside, continue_annotations
from lens_engine.mining.rules.intra_patient import embedding_distances
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.tracklets import Tracklets, build_tracklets


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
        False if `value` was not found on these patients: it is that of the embedding's card, or the published one.
    note
        For the log and the reader: where the limit comes from and what it is worth.
    same_lesion_pairs
        Comparisons of annotations of one lesion in two series; where no lesion is known in two, comparisons of an
        annotation with its own lesion on a neighbouring grid slice.
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
    inputs: Iterable[SeriesMiningInput], settings: MiningSettings | None = None, measured: MeasuredLimit | None = None
) -> CalibratedLimit:
    """Return the largest limit that lets at most the set share of wrong comparisons through.

    Parameters
    ----------
    inputs
        Series of many patients, in any order; read once. Patients beyond the first `calibration_patients` are skipped.
    measured
        What the card of the embedding says about its limit, for the case that too few comparisons are possible; None
        takes the published limit then.

    Raises
    ------
    BoxError
        If the embeddings have different lengths.
    """
    settings = settings or MiningSettings()
    seen = _embeddings_of_patients(inputs, settings)
    wrong = _nearest_in_wrong_patients(seen)
    beside = np.concatenate([np.zeros(0), *(part.to_own_lesion for parts in seen.values() for part in parts)])
    twins = _distances_of_twins(seen)
    if len(wrong) < max(settings.min_calibration_pairs, 1):
        value, is_calibrated = settings.published_distance_limit if measured is None else measured.value, False
        origin = (
            f"Only {len(wrong)} comparisons between patients are possible, {settings.min_calibration_pairs} are "
            f"needed: {_instead(value, measured)}"
        )
    else:
        allowed = int(settings.max_cross_patient_share * len(wrong))
        value, is_calibrated = float(np.sort(wrong)[min(allowed, len(wrong) - 1)]), True
        share = float((wrong < value).mean())
        origin = f"Distance limit {value:.3f}: {share:.1%} of {len(wrong)} comparisons between patients lie below it"
    on_slices = _worth(beside, wrong, value)
    in_series = _worth(twins, wrong, value)
    note = f"{origin}. {_in_words(in_series, on_slices)}."
    told = in_series if in_series.pairs else on_slices
    return CalibratedLimit(value, len(wrong), is_calibrated, note, told.pairs, told.recall, told.precision)


def _instead(value: float, measured: MeasuredLimit | None) -> str:
    """Return what limit is used where none could be calibrated, in words."""
    if measured is None:
        return f"the published distance limit {value} is used, which was found for another embedding"
    shares = {"precision": measured.precision, "recall": measured.recall}
    worth = "".join(f", {name} {share:.0%}" for name, share in shares.items() if share is not None)
    return (
        f"the distance limit {value:.3f} is used that this embedding got when it was made "
        f"({measured.measured_on}, {measured.comparisons} comparisons{worth})"
    )


@dataclass(frozen=True, slots=True)
class _Worth:
    """What a limit is worth, told from pairs of one lesion."""

    pairs: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True, slots=True, eq=False)
class _Looks:
    """The embeddings of one series, and the distances of its annotations to their lesions on neighbouring slices.

    Attributes
    ----------
    of_lesions
        The embeddings of annotations and decisions of which it is known what lesion they show, with that.
    """

    annotations: tuple[NDArray[np.float64], ...]
    of_lesions: tuple[tuple[str, NDArray[np.float64]], ...]
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
            tuple(
                (note.lesion, note.embedding.astype(np.float64))
                for note in (*series.annotations, *series.decided)
                if note.embedding is not None and note.lesion is not None
            ),
            embedded[embedded.any(axis=1)],
            _distances_to_own_lesion(series, tracklets, settings),
        )
        patients.setdefault(series.patient_id, []).append(looks)
    return patients


def _distances_to_own_lesion(
    series: SeriesMiningInput, tracklets: Tracklets, settings: MiningSettings
) -> NDArray[np.float64]:
    """Return the distance of each continued annotation to its tracklet above and below the annotated grid slice."""
    embeddings = tracklets.members.embeddings.astype(np.float64)
    continued = continue_annotations(tracklets, series.annotations, settings)
    distances = [np.zeros(0)]
    for note, beside in zip(series.annotations, boxes_beside(tracklets, series.annotations, continued), strict=True):
        if note.embedding is not None:
            distances.append(embedding_distances(note.embedding[None].astype(np.float64), embeddings[beside])[0])
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


def _distances_of_twins(patients: Mapping[int, Sequence[_Looks]]) -> NDArray[np.float64]:
    """Return the distances of what is known to show one lesion in two series of a patient."""
    distances = [np.zeros(0)]
    for parts in patients.values():
        for one, other in combinations(parts, 2):
            for lesion, own in one.of_lesions:
                theirs = [look for same, look in other.of_lesions if same == lesion]
                if theirs:
                    distances.append(embedding_distances(own[None], np.asarray(theirs))[0])
    return np.concatenate(distances)


def _worth(right: NDArray[np.float64], wrong: NDArray[np.float64], limit: float) -> _Worth:
    """Return what a limit is worth by the distances of right and of wrong pairs."""
    if len(right) == 0:
        return _Worth(0, None, None)
    recall = float((right < limit).mean())
    if len(wrong) == 0:
        return _Worth(len(right), recall, None)
    below = recall + float((wrong < limit).mean())
    return _Worth(len(right), recall, recall / below if below > 0 else None)


def _in_words(in_series: _Worth, on_slices: _Worth) -> str:
    parts = [
        f"recall {worth.recall:.1%} of {worth.pairs} pairs of one lesion {where}, {_precision_in_words(worth)}"
        for worth, where in ((in_series, "in two scans"), (on_slices, "on neighbouring slices"))
        if worth.recall is not None
    ]
    if not parts:
        return "Its recall is unknown, for no annotation is continued on a neighbouring slice"
    return f"It has {'; '.join(parts)}"


def _precision_in_words(worth: _Worth) -> str:
    if worth.precision is None:
        return "precision unknown"
    return f"precision {worth.precision:.1%} among as many right as wrong comparisons"
