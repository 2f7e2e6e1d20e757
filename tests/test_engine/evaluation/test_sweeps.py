"""Sweeps over overlap and score thresholds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measures.froc_cases import Volumes, box, evaluations, half_open, random_evaluation, volumes

from lens_engine.boxes import Overlap
from lens_engine.evaluation.froc import FALSE_POSITIVE_RATES, match
from lens_engine.evaluation.sweeps import at_rates, at_scores, overlap_sweep


@given(evaluations(), st.sampled_from(Overlap))
def test_less_is_found_when_more_overlap_is_needed(case: tuple[Volumes, Volumes], overlap: Overlap) -> None:
    predictions, truths = half_open(case[0]), half_open(case[1])
    points = overlap_sweep(lambda threshold: match(predictions, truths, overlap, threshold))
    averages = [point.average for point in points if not math.isnan(point.average)]
    assert averages == sorted(averages, reverse=True)


@given(evaluations())
def test_more_is_found_when_lower_scores_are_shown(case: tuple[Volumes, Volumes]) -> None:
    matches = match(half_open(case[0]), half_open(case[1]))
    points = at_scores(matches, (1.1, 0.9, 0.5, 0.35, 0.0))
    rates = [point.false_positives_per_volume for point in points]
    found = [point.sensitivity for point in points if not math.isnan(point.sensitivity)]
    assert rates == sorted(rates)
    assert found == sorted(found)


def test_equal_scores_are_shown_together() -> None:
    truths = volumes(a=[box(0), box(50)])
    found = volumes(a=[box(0, score=0.5), box(200, score=0.5), box(50, score=0.4)])
    (high, low) = at_scores(match(found, truths), (0.5, 0.4))
    assert (high.sensitivity, high.false_positives_per_volume) == (0.5, 1)
    assert (low.sensitivity, low.false_positives_per_volume) == (1, 1)


def test_the_lowest_threshold_within_a_rate_is_chosen() -> None:
    found = volumes(a=[box(0, score=0.9), box(200, score=0.8), box(50, score=0.7), box(300, score=0.6)])
    points = at_rates(match(found, volumes(a=[box(0), box(50)])), (0.5, 1, 8))
    assert [(point.threshold, point.sensitivity) for point in points] == [(0.9, 0.5), (0.7, 1), (0.6, 1)]


def test_where_nothing_may_be_shown_the_threshold_is_infinite() -> None:
    found = volumes(a=[box(0, score=0.9), box(200, score=0.9)])
    (point,) = at_rates(match(found, volumes(a=[box(0)])), (0.5,))
    assert (point.threshold, point.sensitivity, point.false_positives_per_volume) == (math.inf, 0, 0)
    assert at_rates(match({}, volumes(a=[box(0)])), (8,))[0].threshold == math.inf


def test_without_ties_the_points_lie_on_the_curve() -> None:
    matches = match(*random_evaluation(20, 30, 0.6, 0))
    points = at_rates(matches)
    assert [point.sensitivity for point in points] == pytest.approx(matches.curve().sensitivity_at().tolist())
    assert all(
        point.false_positives_per_volume <= rate for point, rate in zip(points, FALSE_POSITIVE_RATES, strict=True)
    )
    again = at_scores(matches, [point.threshold for point in points])
    assert again == points


def test_without_lesions_the_sensitivity_is_not_a_number() -> None:
    matches = match(volumes(a=[box(0, score=0.9)]), volumes(a=[]))
    assert np.isnan([point.sensitivity for point in (*at_scores(matches), *at_rates(matches))]).all()
