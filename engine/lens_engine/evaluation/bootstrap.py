"""How sure a measured sensitivity is: bootstrap intervals over patients, also of the difference of two models."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import BoxError
from lens_engine.evaluation.froc import FALSE_POSITIVE_RATES, Matches

LEVEL = 0.95
"""Share of the resamples inside an interval."""

CHUNK_VALUES = 4_000_000
"""Numbers held at a time while bootstrapping, to bound the memory."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured value with its bootstrap percentile interval.

    Attributes
    ----------
    value
        The measure on all data.
    low, high
        Ends of the interval; NaN where no resample held a lesion.
    level
        Share of the resamples inside, such as 0.95.
    """

    value: float
    low: float
    high: float
    level: float


def bootstrap_interval(
    matches: Matches,
    patients: Sequence[str],
    generator: np.random.Generator,
    rounds: int = 1000,
    level: float = LEVEL,
) -> Interval:
    """Return the average sensitivity with its interval over patients.

    Parameters
    ----------
    patients
        The patient of each volume, in the order of `matches.names`. Patients, not volumes, are drawn with replacement,
        because the volumes of one patient show the same lesions.
    """
    return average_interval(matches, volume_weights(matches, patients, generator, rounds), level=level)


def average_interval(
    matches: Matches,
    weights: NDArray[np.integer],
    rates: Sequence[float] = FALSE_POSITIVE_RATES,
    level: float = LEVEL,
) -> Interval:
    """Return the mean sensitivity at `rates` with its interval over drawn resamples; see `volume_weights`."""
    value = float(matches.curve().sensitivity_at(rates).mean())
    return percentile_interval(value, resampled_sensitivities(matches, weights, rates).mean(axis=1), level)


def paired_difference_interval(
    before: Matches,
    after: Matches,
    patients: Sequence[str],
    generator: np.random.Generator,
    rounds: int = 1000,
    level: float = LEVEL,
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
    weights = volume_weights(before, patients, generator, rounds)
    first, second = (resampled_sensitivities(matches, weights).mean(axis=1) for matches in (before, after))
    value = after.curve().average_sensitivity - before.curve().average_sensitivity
    return percentile_interval(value, second - first, level)


def volume_weights(
    matches: Matches, patients: Sequence[str], generator: np.random.Generator, rounds: int = 1000
) -> NDArray[np.int64]:
    """Draw patients; return how often each volume of `matches` occurs in each round, (rounds, volumes).

    Raises
    ------
    BoxError
        If there is not one patient for each volume.
    """
    if len(patients) != len(matches.names):
        raise BoxError(
            f"{len(patients)} patients are named for {len(matches.names)} volumes",
            "One patient for each volume is needed",
            "Name them in the order of the truth",
        )
    return patient_resamples(patients, generator, rounds)


def patient_resamples(patients: Sequence[str], generator: np.random.Generator, rounds: int = 1000) -> NDArray[np.int64]:
    """Draw patients with replacement; return how often each volume occurs in each round, (rounds, len(patients))."""
    unique, patient_index = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
    if len(unique) == 0:
        return np.zeros((rounds, 0), dtype=np.int64)
    drawn = generator.multinomial(len(unique), np.full(len(unique), 1 / len(unique)), size=rounds)
    return drawn[:, patient_index].astype(np.int64)


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
    new_lesions = matches.new_lesions
    moves = np.flatnonzero(matches.is_false_positive | (new_lesions > 0))
    moves = moves[: points_needed(matches, moves, counts, volumes * max(rates))]
    found = np.zeros((len(counts), len(rates)))
    chunk = max(1, CHUNK_VALUES // max(1, len(moves)))
    for start in range(0, len(counts) if len(moves) else 0, chunk):
        rounds = slice(start, start + chunk)
        repeats = counts[rounds][:, matches.volume_index[moves]]
        found_so_far = np.cumsum(repeats * new_lesions[moves], axis=1)
        rate_so_far = np.cumsum(repeats * matches.is_false_positive[moves], axis=1) / volumes[rounds, None]
        for column, rate in enumerate(rates):
            points = np.count_nonzero(rate_so_far <= rate, axis=1)
            last = np.take_along_axis(found_so_far, np.maximum(points - 1, 0)[:, None], axis=1)[:, 0]
            found[rounds, column] = np.where(points > 0, last, 0.0)
    return np.divide(found, lesions[:, None], out=np.full_like(found, np.nan), where=lesions[:, None] > 0)


def percentile_interval(value: float, samples: NDArray[np.float64], level: float = LEVEL) -> Interval:
    """Return `value` with the middle `level` of its resamples, NaN ones left out."""
    known = samples[~np.isnan(samples)]
    if known.size == 0:
        return Interval(value, float("nan"), float("nan"), level)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)


def points_needed(
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
