"""Free-response ROC: how many lesions are found at how many false positives, by the official rules (spec 9.1).

`match` compares predictions with the truth once; what it returns is enough for the curve and for any number of
bootstrap rounds. A new protocol needs a new matching function, not a new curve. Boxes are half-open voxel edges; the
inclusive "+1" sizes of the official script are the same numbers after `boxes.from_inclusive`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import Overlap, as_boxes, overlaps, sizes
from lens_engine.errors import BoxError

FALSE_POSITIVE_RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per volume at which the sensitivity is reported and averaged."""

HIT_THRESHOLD = 0.3
"""Smallest overlap that counts as a hit; the official script uses >= where the paper says "larger"."""

BOOTSTRAP_CHUNK_VALUES = 4_000_000
"""Numbers held at a time while bootstrapping, to bound the memory."""


@dataclass(frozen=True, slots=True, eq=False)
class FrocCurve:
    """Sensitivity against false positives per volume, one point after each prediction, best prediction first.

    Attributes
    ----------
    false_positives_per_volume, sensitivity
        (n,) float64, both never falling. The sensitivity is NaN where the truth holds no lesion.
    scores
        (n,) score of the prediction behind each point.
    volumes, lesions
        How many volumes and lesions the truth has.
    overlap, threshold
        The matching rule.
    """

    false_positives_per_volume: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    scores: NDArray[np.float64]
    volumes: int
    lesions: int
    overlap: Overlap
    threshold: float

    def sensitivity_at(self, rates: Sequence[float] = FALSE_POSITIVE_RATES) -> NDArray[np.float64]:
        """Return the sensitivity at the given false positives per volume, (len(rates),).

        0 left of the first point, the last sensitivity right of the last one, and at a rate that the curve reaches
        exactly the highest sensitivity there. Without any prediction 0; NaN where the truth holds no lesion.
        """
        wanted = np.asarray(rates, dtype=np.float64)
        if self.lesions == 0:
            return np.full(len(wanted), np.nan)
        if len(self.sensitivity) == 0:
            return np.zeros(len(wanted))
        return np.interp(wanted, self.false_positives_per_volume, self.sensitivity, left=0.0)

    @property
    def average_sensitivity(self) -> float:
        """Mean of the sensitivities at `FALSE_POSITIVE_RATES`."""
        return float(self.sensitivity_at().mean())


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """What every prediction hits, best prediction first.

    A repeated volume would be hit in the same way, so a bootstrap needs no second look at the boxes.

    Attributes
    ----------
    names
        The volumes of the truth, in its order.
    lesions_per_volume
        (len(names),) int64.
    volume_index
        (n,) the volume of each prediction.
    scores
        (n,) never rising.
    new_lesions
        (n,) int64, lesions that this prediction is the first to hit; one box may hit several.
    is_false_positive
        (n,) bool. A prediction that only repeats a hit is neither a false positive nor a new lesion.
    overlap, threshold
        The matching rule.
    """

    names: tuple[str, ...]
    lesions_per_volume: NDArray[np.int64]
    volume_index: NDArray[np.int64]
    scores: NDArray[np.float64]
    new_lesions: NDArray[np.int64]
    is_false_positive: NDArray[np.bool_]
    overlap: Overlap
    threshold: float

    def curve(self) -> FrocCurve:
        """Return the FROC curve."""
        lesions = int(self.lesions_per_volume.sum())
        found = np.cumsum(self.new_lesions).astype(np.float64)
        false_positives = np.cumsum(self.is_false_positive).astype(np.float64)
        return FrocCurve(
            false_positives_per_volume=false_positives / max(len(self.names), 1),
            sensitivity=found / lesions if lesions else np.full(len(found), np.nan),
            scores=self.scores,
            volumes=len(self.names),
            lesions=lesions,
            overlap=self.overlap,
            threshold=self.threshold,
        )


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured value with its bootstrap percentile interval.

    Attributes
    ----------
    value
        On all data.
    low, high
        Ends of the interval; NaN where no resample held a lesion.
    level
        Share of the resamples inside, such as 0.95.
    """

    value: float
    low: float
    high: float
    level: float


def evaluate(
    predictions: Mapping[str, NDArray[np.floating]],
    truths: Mapping[str, NDArray[np.floating]],
    overlap: Overlap = Overlap.IOBB,
    threshold: float = HIT_THRESHOLD,
) -> FrocCurve:
    """Return the FROC curve of 3D predictions; parameters and errors are those of `match`."""
    return match(predictions, truths, overlap, threshold).curve()


def match(
    predictions: Mapping[str, NDArray[np.floating]],
    truths: Mapping[str, NDArray[np.floating]],
    overlap: Overlap = Overlap.IOBB,
    threshold: float = HIT_THRESHOLD,
    dimensions: int = 3,
) -> Matches:
    """Compare predictions with the complete truth, volume by volume (spec 9.1).

    A prediction is a false positive when the volume holds no lesion, when an overlap cannot be computed (NaN
    coordinates), or when its largest overlap lies below `threshold`. Otherwise it finds every lesion that it overlaps
    by at least `threshold` and that no better prediction has found. Among equal scores later volumes come first, and
    later rows within a volume: the official order, made deterministic.

    Parameters
    ----------
    predictions
        For each volume (n, 2 * dimensions + 1): box and score. Volumes without an entry have no prediction.
    truths
        For each volume (g, 2 * dimensions), g may be 0. Every volume named here counts in the false-positive rate.
    overlap, threshold
        `IOBB` at 0.3 is the official rule. It does not punish boxes that are too small, so report IoU beside it.
    dimensions
        3 for volumes, 2 for key slices.

    Raises
    ------
    BoxError
        If a prediction belongs to no volume of the truth, shapes are wrong, a true box is broken or empty, a score is
        NaN, or `threshold` is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise BoxError(f"The overlap threshold is {threshold}", "A number above 0 and up to 1 is needed", "Use 0.3")
    unknown = sorted(set(predictions) - set(truths))
    if unknown:
        raise BoxError(
            f"{len(unknown)} volumes with predictions have no truth, the first is {unknown[0]}",
            "Predictions are compared within completely annotated volumes only",
            "Leave them out, or add their truth (no box at all is a truth too)",
        )
    names = tuple(truths)
    lesions = np.zeros(len(names), dtype=np.int64)
    parts: list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]] = []
    for index, name in enumerate(names):
        truth = _checked_truth(name, truths[name], dimensions)
        lesions[index] = len(truth)
        boxes, scores = _checked_predictions(name, predictions.get(name), dimensions)
        new_lesions, is_false_positive = _match_volume(boxes, scores, truth, overlap, threshold)
        parts.append((np.full(len(scores), index, dtype=np.int64), scores, new_lesions, is_false_positive))
    volume_index = np.concatenate([part[0] for part in parts]) if parts else np.zeros(0, dtype=np.int64)
    scores = np.concatenate([part[1] for part in parts]) if parts else np.zeros(0)
    new_lesions = np.concatenate([part[2] for part in parts]) if parts else np.zeros(0, dtype=np.int64)
    is_false_positive = np.concatenate([part[3] for part in parts]) if parts else np.zeros(0, dtype=np.bool_)
    order = _best_first(scores)
    return Matches(
        names=names,
        lesions_per_volume=lesions,
        volume_index=volume_index[order],
        scores=scores[order],
        new_lesions=new_lesions[order],
        is_false_positive=is_false_positive[order],
        overlap=overlap,
        threshold=threshold,
    )


def bootstrap_interval(
    matches: Matches,
    patients: Sequence[str],
    generator: np.random.Generator,
    rounds: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Return the average sensitivity with its interval over patients.

    Parameters
    ----------
    patients
        The patient of each volume, in the order of `matches.names`. Patients, not volumes, are drawn with replacement,
        because the volumes of one patient show the same lesions.
    """
    samples = _average(resampled_sensitivities(matches, _patient_weights(matches, patients, generator, rounds)))
    return _interval(matches.curve().average_sensitivity, samples, level)


def paired_difference_interval(
    before: Matches,
    after: Matches,
    patients: Sequence[str],
    generator: np.random.Generator,
    rounds: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Return how much the average sensitivity rises from `before` to `after`, with its interval over patients.

    Both are evaluated on the same resamples, so that what makes a patient easy or hard cancels out.

    Raises
    ------
    BoxError
        If the two were not evaluated on the same volumes.
    """
    if before.names != after.names or not np.array_equal(before.lesions_per_volume, after.lesions_per_volume):
        raise BoxError(
            f"The two evaluations cover {len(before.names)} and {len(after.names)} volumes, or other lesions in them",
            "Both must be evaluated on the same truth",
            "Evaluate both models again on the same volumes",
        )
    weights = _patient_weights(before, patients, generator, rounds)
    samples = _average(resampled_sensitivities(after, weights)) - _average(resampled_sensitivities(before, weights))
    return _interval(after.curve().average_sensitivity - before.curve().average_sensitivity, samples, level)


def resampled_sensitivities(
    matches: Matches, weights: NDArray[np.integer], rates: Sequence[float] = FALSE_POSITIVE_RATES
) -> NDArray[np.float64]:
    """Return the sensitivities with every volume repeated a number of times, (rounds, len(rates)).

    Equal to evaluating the repeated volumes one by one: a prediction moves the curve either up or right, never both,
    so between two false positives the curve is flat and its value at a rate is that of the last point not beyond it.

    Parameters
    ----------
    weights
        (rounds, volumes), how often each volume occurs in each round. A round without a lesion gives NaN.
    """
    counts = np.asarray(weights, dtype=np.float64)
    volumes, lesions = np.maximum(counts.sum(axis=1), 1), counts @ matches.lesions_per_volume
    moves = np.flatnonzero(matches.is_false_positive | (matches.new_lesions > 0))
    moves = moves[: _points_needed(matches, moves, counts, volumes * max(rates))]
    found = np.zeros((len(counts), len(rates)))
    chunk = max(1, BOOTSTRAP_CHUNK_VALUES // max(1, len(moves)))
    for start in range(0, len(counts) if len(moves) else 0, chunk):
        rounds = slice(start, start + chunk)
        repeats = counts[rounds][:, matches.volume_index[moves]]
        found_so_far = np.cumsum(repeats * matches.new_lesions[moves], axis=1)
        rate_so_far = np.cumsum(repeats * matches.is_false_positive[moves], axis=1) / volumes[rounds, None]
        for column, rate in enumerate(rates):
            points = np.count_nonzero(rate_so_far <= rate, axis=1)
            last = np.take_along_axis(found_so_far, np.maximum(points - 1, 0)[:, None], axis=1)[:, 0]
            found[rounds, column] = np.where(points > 0, last, 0.0)
    return np.divide(found, lesions[:, None], out=np.full_like(found, np.nan), where=lesions[:, None] > 0)


def patient_resamples(patients: Sequence[str], generator: np.random.Generator, rounds: int = 1000) -> NDArray[np.int64]:
    """Draw patients with replacement; return how often each volume occurs in each round, (rounds, len(patients))."""
    unique, patient_index = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
    if len(unique) == 0:
        return np.zeros((rounds, 0), dtype=np.int64)
    drawn = generator.multinomial(len(unique), np.full(len(unique), 1 / len(unique)), size=rounds)
    return drawn[:, patient_index].astype(np.int64)


def _checked_truth(name: str, values: NDArray[np.floating], dimensions: int) -> NDArray[np.float64]:
    truth = as_boxes(values, dimensions)
    empty = sizes(truth) == 0
    if empty.any():
        raise BoxError(
            f"True box {truth[empty][0].tolist()} of {name} has no extent",
            "Half-open voxel edges with low < high are needed",
            "Convert inclusive pixels with boxes.from_inclusive",
        )
    return truth


def _checked_predictions(
    name: str, values: NDArray[np.floating] | None, dimensions: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    columns = 2 * dimensions + 1
    rows = np.zeros((0, columns)) if values is None else np.asarray(values, dtype=np.float64)
    if rows.size == 0:
        rows = rows.reshape(0, columns)
    if rows.ndim != 2 or rows.shape[1] != columns:
        raise BoxError(
            f"The predictions of {name} have shape {rows.shape}",
            f"(n, {columns}) is needed: box, then score",
            "Check the column order",
        )
    if np.isnan(rows[:, -1]).any():
        raise BoxError(
            f"A prediction of {name} has no number as its score",
            "Scores must be comparable",
            "Leave the prediction out",
        )
    return rows[:, :-1], rows[:, -1]


def _match_volume(
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    truth: NDArray[np.float64],
    overlap: Overlap,
    threshold: float,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return for each prediction the lesions it is the first to hit, and whether it is a false positive."""
    new_lesions = np.zeros(len(boxes), dtype=np.int64)
    if len(truth) == 0 or len(boxes) == 0:
        return new_lesions, np.ones(len(boxes), dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        shares = overlaps(boxes, truth, overlap)
    hits = (shares >= threshold) & ~np.isnan(shares).any(axis=1, keepdims=True)
    order = _best_first(scores)
    first = np.argmax(hits[order], axis=0)[np.any(hits, axis=0)]
    np.add.at(new_lesions, order[first], 1)
    return new_lesions, np.logical_not(np.any(hits, axis=1, keepdims=True)[:, 0])


def _best_first(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the official order: ascending and stable, then reversed, so that later entries win ties."""
    return np.argsort(scores, kind="stable")[::-1]


def _points_needed(
    matches: Matches, moves: NDArray[np.intp], counts: NDArray[np.float64], limits: NDArray[np.float64]
) -> int:
    """Return how many of `moves` bring every round beyond its limit of false positives; what follows is never read."""
    points = 256
    while points < len(moves):
        head = moves[:points]
        per_volume = np.bincount(
            matches.volume_index[head], weights=matches.is_false_positive[head], minlength=len(matches.names)
        )
        if (counts @ per_volume > limits * (1 + 1e-9)).all():
            return points
        points *= 2
    return len(moves)


def _patient_weights(
    matches: Matches, patients: Sequence[str], generator: np.random.Generator, rounds: int
) -> NDArray[np.int64]:
    if len(patients) != len(matches.names):
        raise BoxError(
            f"{len(patients)} patients are named for {len(matches.names)} volumes",
            "One patient for each volume is needed",
            "Name them in the order of the truth",
        )
    return patient_resamples(patients, generator, rounds)


def _average(sensitivities: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(sensitivities.mean(axis=1), dtype=np.float64)


def _interval(value: float, samples: NDArray[np.float64], level: float) -> Interval:
    known = samples[~np.isnan(samples)]
    if known.size == 0:
        return Interval(value, float("nan"), float("nan"), level)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)
