"""The LUNA16 protocol: points in millimetres against nodules, and the competition performance metric (algorithms 9.4).

A candidate finds a nodule when it lies strictly inside the sphere of its diameter; the best of several counts. On an
excluded finding it counts neither way. Places are DICOM LPS millimetres `(x, y, z)`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import centres
from lens_engine.errors import BoxError
from lens_engine.evaluation.bootstrap import Interval, patient_resamples, percentile_interval, points_needed
from lens_engine.evaluation.froc import (
    FALSE_POSITIVE_RATES,
    FrocCurve,
    Matches,
    VolumeHits,
    check_volumes,
    checked_predictions,
    ends_of_ties,
    pool,
    prediction_rows,
)
from lens_engine.findings import Finding
from lens_engine.geometry import VolumeGeometry

MAX_MARKS_PER_SCAN = 100
UNKNOWN_DIAMETER_MM = 10.0
"""Stands for a negative diameter, which the excluded findings have where nobody measured."""

RULE = "centre strictly inside the nodule"


@dataclass(frozen=True, slots=True, eq=False)
class Luna16Result:
    """What the protocol says about one detector.

    Attributes
    ----------
    matches
        Candidates beyond `MAX_MARKS_PER_SCAN` and those on excluded findings are there, and count neither way.
    curve
        One point for each distinct score after the origin; straight between them.
    metric
        The competition performance metric: mean sensitivity at 1/8 to 8 false positives per scan, with its interval
        over scans.
    sensitivities
        Sensitivity at each of the seven rates, with the same resamples.
    """

    matches: Matches
    curve: FrocCurve
    metric: Interval
    sensitivities: tuple[Interval, ...]


def evaluate_luna16(
    candidates: Mapping[str, NDArray[np.floating]],
    nodules: Mapping[str, NDArray[np.floating]],
    excluded: Mapping[str, NDArray[np.floating]],
    generator: np.random.Generator,
    rounds: int = 1000,
) -> Luna16Result:
    """Measure candidates by the LUNA16 protocol; the first parameters and the errors are those of `match_luna16`.

    Parameters
    ----------
    generator
        Draws the scans of the bootstrap.
    """
    matches = match_luna16(candidates, nodules, excluded)
    curve = luna16_curve(matches)
    samples = _resampled(matches, patient_resamples(matches.names, generator, rounds))
    values = curve.sensitivity_at()
    return Luna16Result(
        matches,
        curve,
        percentile_interval(float(values.mean()), samples.mean(axis=1)),
        tuple(percentile_interval(float(value), samples[:, column]) for column, value in enumerate(values)),
    )


def candidates_of(findings: Sequence[Finding], expert: str, geometry: VolumeGeometry) -> NDArray[np.float64]:
    """Return the centres of an expert's findings in millimetres, and their scores, (n, 4)."""
    rows = prediction_rows(findings, expert)
    centres_zyx = centres(rows[:, :6])[:, ::-1] - 0.5  # from voxel edges to voxel centres
    return np.column_stack([geometry.index_to_mm(centres_zyx), rows[:, 6]])


def match_luna16(
    candidates: Mapping[str, NDArray[np.floating]],
    nodules: Mapping[str, NDArray[np.floating]],
    excluded: Mapping[str, NDArray[np.floating]],
) -> Matches:
    """Compare candidates with nodules, scan by scan.

    Of a scan with more than `MAX_MARKS_PER_SCAN` candidates only those count that are more probable than the first one
    beyond the limit, so that a tie at the limit is left out as a whole.

    Parameters
    ----------
    candidates
        For each scan (n, 4): x, y, z and probability. Scans without an entry have none.
    nodules
        For each scan (g, 4): x, y, z and diameter, g may be 0. Every scan named here counts.
    excluded
        In the same form, the irrelevant findings of some scans; a negative diameter is unknown.

    Raises
    ------
    BoxError
        If a scan is unknown, a shape is wrong, or a number is NaN.
    """
    check_volumes(candidates, nodules)
    check_volumes(excluded, nodules)
    scans = {}
    for name, values in nodules.items():
        points, scores = checked_predictions(name, candidates.get(name), 4)
        hits = _inside(points, _spheres(name, values))
        counts = _among_the_best(scores)
        on_excluded = _inside(points, _spheres(name, excluded.get(name, np.zeros((0, 4))))).any(axis=1)
        hits &= counts[:, None]
        scans[name] = VolumeHits(scores, hits, counts & ~hits.any(axis=1) & ~on_excluded)
    return pool(scans, RULE)


def luna16_curve(matches: Matches) -> FrocCurve:
    """Return the curve through the origin and one point for each distinct score, as a ROC analysis draws it."""
    curve = matches.curve()
    ends = ends_of_ties(curve.scores)
    return FrocCurve(
        false_positives_per_volume=np.concatenate([[0.0], curve.false_positives_per_volume[ends]]),
        sensitivity=np.concatenate([[0.0 if curve.lesions else np.nan], curve.sensitivity[ends]]),
        scores=np.concatenate([[np.inf], curve.scores[ends]]),
        volumes=curve.volumes,
        lesions=curve.lesions,
        rule=curve.rule,
    )


def _spheres(name: str, values: NDArray[np.floating]) -> NDArray[np.float64]:
    rows = np.asarray(values, dtype=np.float64)
    if rows.size == 0:
        rows = rows.reshape(0, 4)
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise BoxError(
            f"The nodules of {name} have shape {rows.shape}",
            "(n, 4) is needed: x, y, z and diameter in mm",
            "Check the column order",
        )
    if not np.isfinite(rows).all() or (rows[:, 3] == 0).any():
        raise BoxError(
            f"A nodule of {name} has no place or no size",
            "Finite coordinates and a diameter other than 0 are needed, a negative one for unknown",
            "Correct the row",
        )
    return rows


def _inside(points: NDArray[np.float64], spheres: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points (n, 3) lie strictly inside which spheres, (n, g)."""
    radii = np.where(spheres[:, 3] < 0, UNKNOWN_DIAMETER_MM, spheres[:, 3]) / 2
    inside: NDArray[np.bool_] = ((points[:, None, :] - spheres[None, :, :3]) ** 2).sum(axis=2) < radii**2
    return inside


def _among_the_best(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    if len(scores) <= MAX_MARKS_PER_SCAN:
        return np.ones(len(scores), dtype=np.bool_)
    counts: NDArray[np.bool_] = scores > np.sort(scores)[::-1][MAX_MARKS_PER_SCAN]
    return counts


def _resampled(matches: Matches, weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sensitivities at the seven rates with every scan repeated a number of times, (rounds, 7)."""
    counts = weights.astype(np.float64)
    scans, lesions = np.maximum(counts.sum(axis=1), 1), counts @ matches.lesions_per_volume
    new_lesions = matches.new_lesions
    moves = np.flatnonzero(matches.is_false_positive | (new_lesions > 0))
    needed = points_needed(matches, moves, counts, scans * FALSE_POSITIVE_RATES[-1])
    ends = ends_of_ties(matches.scores[moves])
    ends = ends[: np.searchsorted(ends, needed) + 1]
    moves = moves[: ends[-1] + 1] if len(ends) else moves[:0]
    samples = np.full((len(counts), len(FALSE_POSITIVE_RATES)), np.nan)
    for row in np.flatnonzero(lesions > 0):
        repeats = counts[row, matches.volume_index[moves]]
        found = np.cumsum(repeats * new_lesions[moves])[ends] / lesions[row]
        rates = np.cumsum(repeats * matches.is_false_positive[moves])[ends] / scans[row]
        samples[row] = np.interp(FALSE_POSITIVE_RATES, np.append(0.0, rates), np.append(0.0, found))
    return samples
