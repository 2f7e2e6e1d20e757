"""What was right, wrong and missed in one case, and which places are worth a look."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measures.froc_cases import Volumes, box, evaluations, half_open, volumes

from lens_engine.errors import BoxError
from lens_engine.evaluation.froc import match
from lens_engine.evaluation.outcomes import CaseOutcomes, Outcome, instructive_places, outcomes_of
from lens_engine.evaluation.sweeps import at_scores

TRUTHS = volumes(a=[box(0), box(50), box(100, side=20)], b=[box(0)])
FOUND = volumes(
    a=[box(300, score=0.2), box(0, score=0.6), box(1, score=0.8), box(200, score=0.9), box(50, score=0.1)],
    b=[box(0, score=0.95)],
)


def outcomes(threshold: float) -> CaseOutcomes:
    return outcomes_of(match(FOUND, TRUTHS), "a", FOUND["a"], TRUTHS["a"], threshold)


def test_every_box_has_its_outcome() -> None:
    shown = outcomes(0.15)
    assert shown.hits[:, 6].tolist() == [0.8]
    assert shown.repeats[:, 6].tolist() == [0.6]
    assert shown.false_positives[:, 6].tolist() == [0.9, 0.2]
    assert shown.found[:, 0].tolist() == [0]
    assert shown.missed[:, 0].tolist() == [50, 100]


def test_what_is_not_shown_finds_nothing() -> None:
    assert outcomes(0.1).missed[:, 0].tolist() == [100]
    assert outcomes(1.0).missed[:, 0].tolist() == [0, 50, 100]
    assert len(outcomes(1.0).hits) == len(outcomes(1.0).false_positives) == 0


def test_places_come_in_turn_and_the_most_instructive_first() -> None:
    places = instructive_places(outcomes(0.15), 4)
    assert [(place.outcome, place.score, place.box[0]) for place in places] == [
        (Outcome.FALSE_POSITIVE, 0.9, 200),
        (Outcome.MISSED, None, 100),
        (Outcome.HIT, 0.8, 1),
        (Outcome.FALSE_POSITIVE, 0.2, 300),
    ]
    assert len(instructive_places(outcomes(0.15), 100)) == 5


@given(evaluations(), st.integers(0, 10))
def test_the_outcomes_of_all_cases_add_up(case: tuple[Volumes, Volumes], tenths: int) -> None:
    predictions, truths = half_open(case[0]), half_open(case[1])
    matches = match(predictions, truths)
    parts = [outcomes_of(matches, name, predictions[name], truths[name], tenths / 10) for name in truths]
    (point,) = at_scores(matches, (tenths / 10,))
    assert sum(len(part.false_positives) for part in parts) == pytest.approx(
        point.false_positives_per_volume * len(truths)
    )
    lesions = sum(len(rows) for rows in truths.values())
    if lesions:
        assert sum(len(part.found) for part in parts) == pytest.approx(point.sensitivity * lesions)
    shown = sum(int((rows[:, 6] >= tenths / 10).sum()) for rows in predictions.values())
    assert sum(len(part.hits) + len(part.repeats) + len(part.false_positives) for part in parts) == shown


def test_another_case_or_other_boxes_are_refused() -> None:
    matches = match(FOUND, TRUTHS)
    with pytest.raises(BoxError, match="c was not evaluated"):
        outcomes_of(matches, "c", FOUND["a"], TRUTHS["a"], 0.5)
    with pytest.raises(BoxError, match="5 predictions and 3 lesions, and now comes with 4 and 3"):
        outcomes_of(matches, "a", FOUND["a"][1:], TRUTHS["a"], 0.5)
    with pytest.raises(BoxError, match="shape"):
        outcomes_of(matches, "a", np.zeros((5, 6)), TRUTHS["a"], 0.5)
