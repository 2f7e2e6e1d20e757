"""How many lesions that nobody marked a review has found after so many questions, where the whole truth is known.

A question finds the unmarked lesions at its place that no earlier question has found (places as in `accuracy`). Shares
are of the lesions that the whole queue finds: an order cannot find what is not in the queue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.evaluation.bootstrap import Interval, patient_resamples, percentile_interval
from lens_engine.mining.reports.accuracy import Located, is_marked, lies_at_lesions


@dataclass(frozen=True, slots=True)
class Question:
    """A place that a reader is asked about.

    Attributes
    ----------
    series, patient
        Their names.
    """

    series: str
    patient: str
    place: Located


@dataclass(frozen=True, slots=True)
class SeriesTruth:
    """All lesions of a series, and the annotations that were there before."""

    lesions: Sequence[Located]
    annotations: Sequence[Located] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ReviewCurve:
    """What questions find in one order.

    Attributes
    ----------
    new_lesions
        (n,) unmarked lesions that each question is the first to find.
    patients
        The patient of each question.
    """

    new_lesions: NDArray[np.intp]
    patients: tuple[str, ...]

    def found(self) -> NDArray[np.intp]:
        """Return how many lesions are found after 0, 1, ..., n questions, (n + 1,)."""
        return np.concatenate([[0], np.cumsum(self.new_lesions)]).astype(np.intp)


def review_curve(questions: Sequence[Question], truth: Mapping[str, SeriesTruth]) -> ReviewCurve:
    """Return what questions find in the order in which they are asked; `truth` is by series."""
    unmarked = {
        name: [lesion for lesion in series.lesions if not is_marked(lesion, series.annotations)]
        for name, series in truth.items()
    }
    is_found = {name: np.zeros(len(lesions), dtype=np.bool_) for name, lesions in unmarked.items()}
    new_lesions = np.zeros(len(questions), dtype=np.intp)
    for number, question in enumerate(questions):
        is_there = lies_at_lesions([question.place], unmarked[question.series])[0]
        new_lesions[number] = (is_there & ~is_found[question.series]).sum()
        is_found[question.series] |= is_there
    return ReviewCurve(new_lesions, tuple(question.patient for question in questions))


def share_found(curves: Sequence[ReviewCurve], share: float) -> float:
    """Return the share of the lesions that is found within a share of the questions; the mean of several orders."""
    names = sorted({name for curve in curves for name in curve.patients})
    return float(_shares(curves, names, np.ones((1, len(names)), dtype=np.int64), share)[0])


def share_found_interval(
    curves: Sequence[ReviewCurve], share: float, generator: np.random.Generator, rounds: int = 1000
) -> Interval:
    """Return the same with its bootstrap interval over patients."""
    names, weights = _resamples(curves, generator, rounds)
    return percentile_interval(share_found(curves, share), _shares(curves, names, weights, share))


def share_found_difference(
    before: Sequence[ReviewCurve],
    after: Sequence[ReviewCurve],
    share: float,
    generator: np.random.Generator,
    rounds: int = 1000,
) -> Interval:
    """Return how much more is found in the orders `after`, with its interval over the same resampled patients."""
    names, weights = _resamples([*before, *after], generator, rounds)
    first, second = (_shares(curves, names, weights, share) for curves in (before, after))
    return percentile_interval(share_found(after, share) - share_found(before, share), second - first)


def _resamples(
    curves: Sequence[ReviewCurve], generator: np.random.Generator, rounds: int
) -> tuple[list[str], NDArray[np.int64]]:
    """Return the patients, and how often each occurs in each round."""
    names = sorted({name for curve in curves for name in curve.patients})
    return names, patient_resamples(names, generator, rounds)


def _shares(
    curves: Sequence[ReviewCurve], names: Sequence[str], weights: NDArray[np.int64], share: float
) -> NDArray[np.float64]:
    """Return the mean share over the orders in each round; NaN where a round finds nothing at all."""
    row_of = {name: row for row, name in enumerate(names)}
    total = np.zeros(len(weights))
    for curve in curves:
        repeats = weights[:, [row_of[name] for name in curve.patients]]
        asked, found = np.cumsum(repeats, axis=1), np.cumsum(repeats * curve.new_lesions, axis=1)
        nothing = np.zeros((len(weights), 1), dtype=np.int64)
        asked, found = np.hstack([nothing, asked]), np.hstack([nothing, found])
        last = np.count_nonzero(asked <= share * asked[:, -1:] + 1e-9, axis=1) - 1
        within, all_found = found[np.arange(len(found)), last], found[:, -1]
        total += np.divide(within, all_found, out=np.full(len(found), np.nan), where=all_found > 0)
    return total / max(len(curves), 1)
