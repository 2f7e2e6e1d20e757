"""How far two readers agree who marked the lesions of the same series independently of each other.

Two boxes are one lesion where their 3D IoU is 0.3 at least: neither reader is the truth, so the measure is symmetric.
Each box is matched once, the best pairs first. The positive agreement is 2 m / (a + b), the Dice of detection; there is
none to speak of where nobody marked anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import as_boxes, overlaps
from lens_engine.evaluation.bootstrap import Interval, patient_resamples, percentile_interval

MATCH_IOU = 0.3
"""3D IoU from which boxes of two readers are one lesion."""
LEVEL = 0.95
"""Share of the resamples inside an interval."""
ROUNDS = 1000
"""Times that patients are drawn for an interval."""


@dataclass(frozen=True, slots=True)
class MatchedPair:
    """One lesion that both readers marked: the rows of their boxes, and how much they overlap."""

    first: int
    second: int
    iou: float


@dataclass(frozen=True, slots=True, eq=False)
class ReadTwice:
    """What two readers marked in one series.

    Attributes
    ----------
    patient
        Intervals are over patients, because the series of one patient show the same lesions.
    first, second
        (a, 6) and (b, 6), half-open voxel edges.
    """

    patient: str
    first: NDArray[np.float64]
    second: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two readers agree.

    Attributes
    ----------
    first, second, matched
        Lesions of the first reader, of the second one, and of both.
    positive_agreement
        With its interval over patients; NaN where neither marked anything.
    mean_iou
        Of the matched lesions, in [0.3, 1]; NaN without any.
    """

    series: int
    first: int
    second: int
    matched: int
    positive_agreement: Interval
    mean_iou: float

    @property
    def only_first(self) -> int:
        """Lesions that the first reader alone marked."""
        return self.first - self.matched

    @property
    def only_second(self) -> int:
        """Lesions that the second reader alone marked."""
        return self.second - self.matched


def match_lesions(
    first: NDArray[np.floating], second: NDArray[np.floating], threshold: float = MATCH_IOU
) -> tuple[MatchedPair, ...]:
    """Pair the boxes of two readers, each once, by descending overlap; of equals the earlier rows.

    Raises
    ------
    BoxError
        If the boxes are none.
    """
    shared = overlaps(as_boxes(first, 3), as_boxes(second, 3))
    order = np.argsort(-shared, axis=None, kind="stable")
    pairs: list[MatchedPair] = []
    taken_rows: set[int] = set()
    taken_columns: set[int] = set()
    for row, column in zip(*np.unravel_index(order, shared.shape), strict=True):
        iou = float(shared[row, column])
        if iou < threshold:
            break
        if int(row) not in taken_rows and int(column) not in taken_columns:
            pairs.append(MatchedPair(int(row), int(column), iou))
            taken_rows.add(int(row))
            taken_columns.add(int(column))
    return tuple(pairs)


def agreement_of(series: Sequence[ReadTwice], generator: np.random.Generator) -> Agreement:
    """Return how far two readers agree over several series, or one."""
    pairs = [match_lesions(one.first, one.second) for one in series]
    matched = np.asarray([len(found) for found in pairs], dtype=np.float64)
    marked = np.asarray([len(one.first) + len(one.second) for one in series], dtype=np.float64)
    weights = patient_resamples([one.patient for one in series], generator, ROUNDS)
    samples = _share(2 * (weights @ matched), weights @ marked)
    value = float(_share(2 * matched.sum(keepdims=True), marked.sum(keepdims=True))[0])
    ious = [pair.iou for found in pairs for pair in found]
    return Agreement(
        series=len(series),
        first=sum(len(one.first) for one in series),
        second=sum(len(one.second) for one in series),
        matched=int(matched.sum()),
        positive_agreement=percentile_interval(value, samples, LEVEL),
        mean_iou=float(np.mean(ious)) if ious else float("nan"),
    )


def found_lesions(truth: NDArray[np.floating], marked: NDArray[np.floating]) -> int:
    """Return how many true lesions a reader marked."""
    return len(match_lesions(truth, marked))


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return NaN where there is nothing to share."""
    shares: NDArray[np.float64] = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return shares
