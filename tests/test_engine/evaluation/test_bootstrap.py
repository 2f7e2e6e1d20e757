"""Bootstrap intervals: over patients, reproducible, and the same as repeating volumes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measures.froc_cases import Volumes, evaluations, half_open, random_evaluation, volumes

from lens_engine.errors import BoxError
from lens_engine.evaluation.bootstrap import (
    bootstrap_interval,
    paired_difference_interval,
    patient_resamples,
    resampled_sensitivities,
)
from lens_engine.evaluation.froc import match


@given(evaluations(distinct_scores=True), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_weighting_a_volume_equals_repeating_it(case: tuple[Volumes, Volumes], repeats: list[int]) -> None:
    predictions, truths = half_open(case[0]), half_open(case[1])
    weights = np.asarray([repeats[: len(truths)]])
    copies = [(name, f"{name}-{k}") for name, count in zip(truths, weights[0], strict=True) for k in range(count)]
    found, there = ({copy: content[name] for name, copy in copies} for content in (predictions, truths))
    repeated = match(found, there).curve()
    weighted = resampled_sensitivities(match(predictions, truths), weights)[0]
    assert weighted.tolist() == pytest.approx(repeated.sensitivity_at().tolist(), nan_ok=True)


def test_intervals_hold_the_value_and_shrink_with_more_patients() -> None:
    few, many = (
        bootstrap_interval(
            match(*random_evaluation(n, 20, 0.6, 0)), [str(i) for i in range(n)], np.random.default_rng(0)
        )
        for n in (8, 80)
    )
    assert few.low <= few.value <= few.high
    assert many.high - many.low < few.high - few.low


def test_the_interval_is_reproducible_and_over_patients_not_volumes() -> None:
    matches = match(*random_evaluation(30, 20, 0.6, 0))
    one_patient = bootstrap_interval(matches, ["p"] * 30, np.random.default_rng(0))
    assert one_patient.low == one_patient.high == pytest.approx(one_patient.value)
    patients = [f"p{i // 3}" for i in range(30)]
    first, second = (bootstrap_interval(matches, patients, np.random.default_rng(7)) for _ in range(2))
    assert first == second


def test_volumes_of_one_patient_are_drawn_together() -> None:
    weights = patient_resamples(["p", "q", "p", "r"], np.random.default_rng(0), rounds=50)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    patients = [f"p{i}" for i in range(40)]
    before, after = (match(*random_evaluation(40, 20, quality, 0)) for quality in (0.5, 0.6))
    difference = paired_difference_interval(before, after, patients, np.random.default_rng(0))
    separate = [bootstrap_interval(m, patients, np.random.default_rng(0)) for m in (before, after)]
    assert difference.value == pytest.approx(separate[1].value - separate[0].value)
    assert difference.high - difference.low < sum(interval.high - interval.low for interval in separate)
    same = paired_difference_interval(before, before, patients, np.random.default_rng(0))
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_differences_need_the_same_truth_and_one_patient_for_each_volume() -> None:
    one, other = match(*random_evaluation(3, 2, 0.5, 0)), match(*random_evaluation(4, 2, 0.5, 0))
    with pytest.raises(BoxError, match="3 and 4 volumes"):
        paired_difference_interval(one, other, ["p"] * 3, np.random.default_rng(0))
    with pytest.raises(BoxError, match="2 patients are named for 3 volumes"):
        bootstrap_interval(one, ["p", "q"], np.random.default_rng(0))


def test_without_any_lesion_there_is_no_interval() -> None:
    for predictions in ({}, volumes(a=[[0, 0, 0, 1, 1, 1, 0.9]])):
        interval = bootstrap_interval(match(predictions, volumes(a=[])), ["p"], np.random.default_rng(0), rounds=10)
        assert np.isnan([interval.value, interval.low, interval.high]).all()
