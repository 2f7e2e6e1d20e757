"""Free-response ROC: how many lesions are found at how many false positives, by the official rules (algorithms 9.1).

`match` compares predictions with the truth once; what it returns is enough for the curve, for strata of the lesions and
for any number of bootstrap rounds. A protocol of another kind (`lens_engine.evaluation`) finds the hits in its own way
and hands them to `pool`; the curve stays the same. Boxes are half-open voxel edges; the inclusive "+1" sizes of the
official script are the same numbers after `boxes.from_inclusive`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import Overlap, as_boxes, overlaps, sizes
from lens_engine.errors import BoxError
from lens_engine.findings import Finding

FALSE_POSITIVE_RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per volume at which the sensitivity is reported and averaged."""

DRAWN_RATES = (1 / 16, 16.0)
"""Ends of the axis of false positives in pictures; a factor of two beyond the seven reported rates."""

HIT_THRESHOLD = 0.3
"""Smallest overlap that counts as a hit; the official script uses >= where the paper says "larger"."""


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
    rule
        The matching rule for people, such as `3D IoBB ≥ 0.3`.
    """

    false_positives_per_volume: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    scores: NDArray[np.float64]
    volumes: int
    lesions: int
    rule: str

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
class VolumeHits:
    """Which predictions of one volume hit which of its lesions.

    Attributes
    ----------
    scores
        (n,) float64, one for each prediction.
    hits
        (n, g) bool. Several predictions may hit one lesion and one may hit several.
    is_false_positive
        (n,) bool. A prediction that hits nothing need not be one: protocols may leave places out.
    """

    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]
    is_false_positive: NDArray[np.bool_]

    @classmethod
    def where(cls, scores: NDArray[np.float64], hits: NDArray[np.bool_]) -> "VolumeHits":
        """Return hits of a protocol in which every prediction that hits nothing is a false positive."""
        return cls(scores, hits, np.logical_not(np.any(hits, axis=1)))


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
    rows
        (n,) the row of each prediction among those of its volume, as they were handed in.
    scores
        (n,) never rising.
    is_false_positive
        (n,) bool. A prediction that only repeats a hit is neither a false positive nor a new lesion.
    found_by
        (lesions,) int64, volume after volume: the best prediction that hits the lesion, -1 for a missed one.
    rule
        The matching rule for people, such as `3D IoBB ≥ 0.3`.
    """

    names: tuple[str, ...]
    lesions_per_volume: NDArray[np.int64]
    volume_index: NDArray[np.int64]
    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    is_false_positive: NDArray[np.bool_]
    found_by: NDArray[np.int64]
    rule: str

    @property
    def new_lesions(self) -> NDArray[np.int64]:
        """(n,) int64, lesions that each prediction is the first to hit; one may hit several."""
        return np.bincount(self.found_by[self.found_by >= 0], minlength=len(self.scores)).astype(np.int64)

    @property
    def lesion_volume(self) -> NDArray[np.int64]:
        """(lesions,) int64, the volume of each lesion."""
        return np.repeat(np.arange(len(self.names), dtype=np.int64), self.lesions_per_volume)

    def curve(self) -> FrocCurve:
        """Return the FROC curve."""
        lesions = len(self.found_by)
        found = np.cumsum(self.new_lesions).astype(np.float64)
        false_positives = np.cumsum(self.is_false_positive).astype(np.float64)
        return FrocCurve(
            false_positives_per_volume=false_positives / max(len(self.names), 1),
            sensitivity=found / lesions if lesions else np.full(len(found), np.nan),
            scores=self.scores,
            volumes=len(self.names),
            lesions=lesions,
            rule=self.rule,
        )

    def of_lesions(self, is_kept: NDArray[np.bool_]) -> "Matches":
        """Return the same predictions measured on some of the lesions, (lesions,) bool.

        False positives stay what they were, and hits on the other lesions count neither way: a stratum is read at the
        false-positive rates of the whole.
        """
        counts = np.bincount(self.lesion_volume[is_kept], minlength=len(self.names)).astype(np.int64)
        return Matches(
            self.names,
            counts,
            self.volume_index,
            self.rows,
            self.scores,
            self.is_false_positive,
            self.found_by[is_kept],
            self.rule,
        )


def match(
    predictions: Mapping[str, NDArray[np.floating]],
    truths: Mapping[str, NDArray[np.floating]],
    overlap: Overlap = Overlap.IOBB,
    threshold: float = HIT_THRESHOLD,
    dimensions: int = 3,
    is_strict: bool = False,
) -> Matches:
    """Compare predictions with the complete truth, volume by volume (algorithms 9.1).

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
    is_strict
        Whether an overlap of exactly `threshold` is no hit.

    Raises
    ------
    BoxError
        If a prediction belongs to no volume of the truth, shapes are wrong, a true box is broken or empty, a score is
        NaN, or `threshold` is not in (0, 1].
    """
    rule = rule_name(f"{dimensions}D", overlap, threshold, is_strict)
    check_volumes(predictions, truths)
    volumes = {}
    for name, values in truths.items():
        truth = checked_truth(name, values, dimensions)
        boxes, scores = checked_predictions(name, predictions.get(name), 2 * dimensions + 1)
        with np.errstate(invalid="ignore"):
            shares = overlaps(boxes, truth, overlap)
        volumes[name] = VolumeHits.where(scores, hits_of_shares(shares, threshold, is_strict))
    return pool(volumes, rule)


def pool(volumes: Mapping[str, VolumeHits], rule: str) -> Matches:
    """Rank the predictions of all volumes and give every lesion to the best one that hits it.

    Parameters
    ----------
    volumes
        Every volume of the truth, also those without a lesion or a prediction.
    rule
        The matching rule for people.
    """
    scores = np.concatenate([np.zeros(0), *(volume.scores for volume in volumes.values())])
    lengths = [len(volume.scores) for volume in volumes.values()]
    order = _best_first(scores)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    starts = np.cumsum([0, *lengths])
    found_by = [
        _best_hit(volume.hits, rank[start : start + length])
        for volume, start, length in zip(volumes.values(), starts, lengths, strict=False)
    ]
    rows = [np.arange(length, dtype=np.int64) for length in lengths]
    is_false_positive = [volume.is_false_positive for volume in volumes.values()]
    return Matches(
        names=tuple(volumes),
        lesions_per_volume=np.asarray([volume.hits.shape[1] for volume in volumes.values()], dtype=np.int64),
        volume_index=np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)[order],
        rows=np.concatenate([np.zeros(0, dtype=np.int64), *rows])[order],
        scores=scores[order],
        is_false_positive=np.concatenate([np.zeros(0, dtype=np.bool_), *is_false_positive])[order],
        found_by=np.concatenate([np.zeros(0, dtype=np.int64), *found_by]),
        rule=rule,
    )


def prediction_rows(findings: Sequence[Finding], expert: str) -> NDArray[np.float64]:
    """Return the findings of one expert (or of the fusion) as predictions for `match`, (n, 7)."""
    rows = [(*finding.box, finding.score) for finding in findings if finding.expert == expert]
    return np.asarray(rows, dtype=np.float64).reshape(-1, 7)


def rule_name(kind: str, overlap: Overlap, threshold: float, is_strict: bool = False) -> str:
    """Return a matching rule as it is written beside a metric, such as `3D IoBB ≥ 0.3`.

    Raises
    ------
    BoxError
        If `threshold` is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise BoxError(f"The overlap threshold is {threshold}", "A number above 0 and up to 1 is needed", "Use 0.3")
    return f"{kind} {overlap.value} {'>' if is_strict else '≥'} {threshold:g}"


def hits_of_shares(shares: NDArray[np.float64], threshold: float, is_strict: bool = False) -> NDArray[np.bool_]:
    """Return which overlaps (n, g) are hits; a row with an overlap that is no number has none (algorithms 9.1)."""
    reached = shares > threshold if is_strict else shares >= threshold
    return reached & ~np.isnan(shares).any(axis=1, keepdims=True)


def check_volumes(predictions: Mapping[str, object], truths: Mapping[str, object]) -> None:
    """Refuse predictions for volumes without truth.

    Raises
    ------
    BoxError
        If there are any.
    """
    unknown = sorted(set(predictions) - set(truths))
    if unknown:
        raise BoxError(
            f"{len(unknown)} volumes with predictions have no truth, the first is {unknown[0]}",
            "Predictions are compared within completely annotated volumes only",
            "Leave them out, or add their truth (no box at all is a truth too)",
        )


def checked_truth(name: str, values: NDArray[np.floating], dimensions: int) -> NDArray[np.float64]:
    """Return the true boxes of a volume, (g, 2 * dimensions) float64.

    Raises
    ------
    BoxError
        If the shape is wrong, or a box is broken or empty.
    """
    truth = as_boxes(values, dimensions)
    empty = sizes(truth) == 0
    if empty.any():
        raise BoxError(
            f"True box {truth[empty][0].tolist()} of {name} has no extent",
            "Half-open voxel edges with low < high are needed",
            "Convert inclusive pixels with boxes.from_inclusive",
        )
    return truth


def checked_predictions(
    name: str, values: NDArray[np.floating] | None, columns: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the places (n, columns - 1) and the scores (n,) of a volume's predictions; None for none.

    Raises
    ------
    BoxError
        If the shape is wrong, or a score is not a number.
    """
    rows = np.zeros((0, columns)) if values is None else np.asarray(values, dtype=np.float64)
    if rows.size == 0:
        rows = rows.reshape(0, columns)
    if rows.ndim != 2 or rows.shape[1] != columns:
        raise BoxError(
            f"The predictions of {name} have shape {rows.shape}",
            f"(n, {columns}) is needed: place, then score",
            "Check the column order",
        )
    if np.isnan(rows[:, -1]).any():
        raise BoxError(
            f"A prediction of {name} has no number as its score",
            "Scores must be comparable",
            "Leave the prediction out",
        )
    return rows[:, :-1], rows[:, -1]


def ends_of_ties(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the last index of each run of equal scores."""
    return np.flatnonzero(scores != np.append(scores[1:], np.nan))


def _best_first(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the official order: ascending and stable, then reversed, so that later entries win ties."""
    return np.argsort(scores, kind="stable")[::-1]


def _best_hit(hits: NDArray[np.bool_], rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the lowest rank among the predictions (rows) that hit each lesion (column); -1 for none."""
    beyond = np.iinfo(np.int64).max
    best = np.where(hits, rank[:, None], beyond).min(axis=0, initial=beyond)
    return np.where(best == beyond, -1, best)
