"""How much better one arm is than another, paired over test patients and replicates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import Overlap
from lens_engine.evaluation.bootstrap import Interval, patient_resamples, percentile_interval, resampled_sensitivities
from lens_engine.evaluation.froc import match, prediction_rows
from lens_engine.findings import Finding

ROUNDS = 2000
SEED = 20181
"""Of the bootstrap: the same findings give the same intervals."""

FindingsOfSeries = Mapping[str, Sequence[Finding]]


@dataclass(frozen=True, slots=True, eq=False)
class ArmMeasure:
    """The average sensitivity of one detector of one replicate.

    Attributes
    ----------
    value
        On all test patients.
    resamples
        (rounds,), on drawn test patients; the same patients in the same round for every detector.
    """

    value: float
    resamples: NDArray[np.float64]


def measure(
    findings: FindingsOfSeries, truth: Mapping[str, NDArray[np.float64]], output: str, rule: Overlap
) -> ArmMeasure:
    """Measure one output of a detector, with one series for each test patient.

    Parameters
    ----------
    truth
        (n, 6) true boxes of every test series, with the margin that detectors are taught.
    output
        Name of an expert, or `FUSED`.
    """
    rows = {name: prediction_rows(findings[name], output) for name in truth}
    matches = match(rows, truth, rule)
    weights = patient_resamples(list(truth), np.random.default_rng(SEED), ROUNDS)
    return ArmMeasure(matches.curve().average_sensitivity, resampled_sensitivities(matches, weights).mean(axis=1))


def mean_of(measures: Sequence[ArmMeasure]) -> Interval:
    """Return the mean over replicates with its interval over patients and replicates."""
    return _over_replicates([one.value for one in measures], np.stack([one.resamples for one in measures]))


def difference_of(before: Sequence[ArmMeasure], after: Sequence[ArmMeasure]) -> Interval:
    """Return the mean rise from one arm to another, paired within each patient and replicate, with its interval."""
    values = [second.value - first.value for first, second in zip(before, after, strict=True)]
    resamples = np.stack([second.resamples - first.resamples for first, second in zip(before, after, strict=True)])
    return _over_replicates(values, resamples)


def recovered_share(
    before: Sequence[ArmMeasure], after: Sequence[ArmMeasure], ceiling: Sequence[ArmMeasure]
) -> Interval:
    """Return how much of the way from one arm to the ceiling another one has gone, with its interval.

    Drawn rounds in which the ceiling does not lie above the start say nothing and are left out.
    """
    drawn = _draw_replicates(len(before))
    risen, possible = (
        _averaged(np.stack([b.resamples - a.resamples for a, b in zip(before, other, strict=True)]), drawn)
        for other in (after, ceiling)
    )
    share = np.where(possible > 0, risen / np.where(possible > 0, possible, 1), np.nan)
    rise, room = (sum(b.value - a.value for a, b in zip(before, other, strict=True)) for other in (after, ceiling))
    return percentile_interval(rise / room if room > 0 else float("nan"), share)


def _over_replicates(values: Sequence[float], resamples: NDArray[np.float64]) -> Interval:
    """Return the mean with its interval: replicates are drawn with replacement, too."""
    return percentile_interval(float(np.mean(values)), _averaged(resamples, _draw_replicates(len(values))))


def _averaged(resamples: NDArray[np.float64], drawn: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the mean of the drawn replicates in each round, (rounds,)."""
    return np.asarray(np.take_along_axis(resamples.T, drawn, axis=1).mean(axis=1))


def _draw_replicates(count: int) -> NDArray[np.intp]:
    """Draw replicates with replacement for each round, (rounds, count); the same ones for everything measured."""
    return np.random.default_rng([SEED, count]).integers(count, size=(ROUNDS, count))
