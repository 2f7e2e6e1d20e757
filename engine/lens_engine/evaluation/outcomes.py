"""What a detector got right, wrong and missed in one case when everything from a score on is shown."""

from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, zip_longest

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import sizes
from lens_engine.errors import BoxError
from lens_engine.evaluation.froc import Matches, checked_predictions, checked_truth


class Outcome(StrEnum):
    """What a place in a case is to the detector."""

    FALSE_POSITIVE = "false positive"
    MISSED = "missed lesion"
    HIT = "true positive"


@dataclass(frozen=True, slots=True, eq=False)
class InstructivePlace:
    """One place worth looking at.

    Attributes
    ----------
    box
        (6,), of the prediction, or of the lesion that was missed.
    score
        None for a missed lesion.
    """

    outcome: Outcome
    box: NDArray[np.float64]
    score: float | None


@dataclass(frozen=True, slots=True, eq=False)
class CaseOutcomes:
    """The predictions and lesions of a case by outcome; predictions are (n, 7), box and score, best first.

    Attributes
    ----------
    hits
        First hits: each found a lesion that no better one had found.
    repeats
        Further hits on lesions that were found already.
    false_positives
        What hits nothing.
    found, missed
        (g, 6) lesions.
    """

    hits: NDArray[np.float64]
    repeats: NDArray[np.float64]
    false_positives: NDArray[np.float64]
    found: NDArray[np.float64]
    missed: NDArray[np.float64]


def outcomes_of(
    matches: Matches,
    name: str,
    predictions: NDArray[np.floating],
    truth: NDArray[np.floating],
    score_threshold: float,
) -> CaseOutcomes:
    """Sort the predictions and lesions of one case by outcome.

    Parameters
    ----------
    matches
        What was matched in an evaluation that `name` was part of.
    predictions, truth
        (n, 7) and (g, 6), those that were compared.
    score_threshold
        Predictions below it are not shown, and find nothing.

    Raises
    ------
    BoxError
        If the case was not part of the evaluation, or had other predictions or lesions there.
    """
    lesions = checked_truth(name, truth, 3)
    boxes, scores = checked_predictions(name, predictions, 7)
    rows = np.column_stack([boxes, scores])
    if name not in matches.names:
        raise BoxError(f"{name} was not evaluated", "A case of the evaluation is needed", "Choose one of its cases")
    index = matches.names.index(name)
    ranks = np.flatnonzero(matches.volume_index == index)
    found_by = matches.found_by[matches.lesion_volume == index]
    if len(ranks) != len(rows) or len(found_by) != len(lesions):
        raise BoxError(
            f"{name} was evaluated with {len(ranks)} predictions and {len(found_by)} lesions,"
            f" and now comes with {len(rows)} and {len(lesions)}",
            "The same boxes as in the evaluation are needed",
            "Hand in what was compared",
        )
    ranks = ranks[matches.scores[ranks] >= score_threshold]
    is_false = matches.is_false_positive[ranks]
    is_first = np.isin(ranks, found_by)
    is_found = np.isin(found_by, ranks)
    shown = rows[matches.rows[ranks]]
    return CaseOutcomes(
        hits=shown[is_first],
        repeats=shown[~is_first & ~is_false],
        false_positives=shown[is_false],
        found=lesions[is_found],
        missed=lesions[~is_found],
    )


def instructive_places(outcomes: CaseOutcomes, count: int) -> tuple[InstructivePlace, ...]:
    """Return up to `count` places in turn: the best-scored false positive, the largest missed lesion, the best hit."""
    largest = outcomes.missed[np.argsort(-sizes(outcomes.missed), kind="stable")]
    turns = zip_longest(
        (InstructivePlace(Outcome.FALSE_POSITIVE, row[:6], float(row[6])) for row in outcomes.false_positives),
        (InstructivePlace(Outcome.MISSED, box, None) for box in largest),
        (InstructivePlace(Outcome.HIT, row[:6], float(row[6])) for row in outcomes.hits),
    )
    return tuple(place for place in chain.from_iterable(turns) if place is not None)[:count]
