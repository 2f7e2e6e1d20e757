"""How the sensitivity depends on what counts as a hit, and on the score from which findings are shown.

The first is the overlap sweep of the DeepLesion paper (algorithms 10, R13, D-5); the second is for choosing a
threshold.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.evaluation.froc import FALSE_POSITIVE_RATES, Matches, ends_of_ties

OVERLAP_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SCORE_THRESHOLDS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True, slots=True)
class OverlapPoint:
    """Sensitivities when a hit needs this much overlap.

    Attributes
    ----------
    sensitivities
        Sensitivity at each of the rates that were asked for.
    """

    threshold: float
    sensitivities: tuple[float, ...]

    @property
    def average(self) -> float:
        """Mean of the sensitivities."""
        return float(np.mean(self.sensitivities))


@dataclass(frozen=True, slots=True)
class ScorePoint:
    """What is shown when everything from a score on is.

    Attributes
    ----------
    threshold
        Smallest score that is shown; infinite where nothing may be.
    sensitivity
        NaN where the truth holds no lesion.
    """

    threshold: float
    sensitivity: float
    false_positives_per_volume: float


def overlap_sweep(
    match_at: Callable[[float], Matches],
    thresholds: Sequence[float] = OVERLAP_THRESHOLDS,
    rates: Sequence[float] = FALSE_POSITIVE_RATES,
) -> tuple[OverlapPoint, ...]:
    """Return the sensitivities at `rates` for each overlap threshold.

    Parameters
    ----------
    match_at
        Compares predictions and truth with a given threshold.
    """
    return tuple(
        OverlapPoint(threshold, tuple(match_at(threshold).curve().sensitivity_at(rates).tolist()))
        for threshold in thresholds
    )


def at_scores(matches: Matches, thresholds: Sequence[float] = SCORE_THRESHOLDS) -> tuple[ScorePoint, ...]:
    """Return what is found when predictions with at least a given score are shown."""
    return tuple(_point(matches, threshold) for threshold in thresholds)


def at_rates(matches: Matches, rates: Sequence[float] = FALSE_POSITIVE_RATES) -> tuple[ScorePoint, ...]:
    """Return the lowest score thresholds that keep the false positives per volume within each rate.

    Equal scores are shown together or not at all, so fewer lesions may be found than the curve says at that rate.
    """
    per_volume = np.cumsum(matches.is_false_positive) / max(len(matches.names), 1)
    ends = ends_of_ties(matches.scores)
    return tuple(_point(matches, _lowest(matches.scores[ends], per_volume[ends], rate)) for rate in rates)


def _lowest(scores: NDArray[np.float64], per_volume: NDArray[np.float64], rate: float) -> float:
    allowed = int(np.count_nonzero(per_volume <= rate))
    return float(scores[allowed - 1]) if allowed else math.inf


def _point(matches: Matches, threshold: float) -> ScorePoint:
    shown = int(np.count_nonzero(matches.scores >= threshold))
    found = int(np.count_nonzero((matches.found_by >= 0) & (matches.found_by < shown)))
    lesions = len(matches.found_by)
    return ScorePoint(
        threshold=threshold,
        sensitivity=found / lesions if lesions else math.nan,
        false_positives_per_volume=int(matches.is_false_positive[:shown].sum()) / max(len(matches.names), 1),
    )
