"""The official FROC, against a slow literal reading of its rules."""

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measures.froc_cases import Boxes, Volumes, box, evaluations, half_open, literal_froc, volumes

from lens_engine.boxes import Overlap
from lens_engine.errors import BoxError
from lens_engine.evaluation.froc import FALSE_POSITIVE_RATES, FrocCurve, Matches, match, prediction_rows
from lens_engine.findings import FUSED, Finding

PUBLISHED_ROWS = {  # algorithms R1: sensitivity in % at the seven rates, and their printed average
    "L2-base": ((11.2, 16.3, 24.3, 32.8, 41.6, 50.9, 60.1), 33.9),
    "L2-a": ((15.8, 21.4, 27.9, 35.9, 43.4, 52.0, 60.9), 36.8),
    "L2-b": ((14.3, 21.5, 28.2, 35.1, 44.4, 53.9, 63.4), 37.3),
    "L2-c": ((15.9, 22.8, 30.1, 37.7, 46.7, 56.6, 66.1), 39.4),
    "L2-d": ((18.3, 26.3, 34.1, 44.8, 55.5, 65.4, 75.4), 45.7),
    "L2-e": ((22.0, 28.4, 36.6, 45.2, 55.0, 65.5, 75.0), 46.8),
    "L2-f": ((21.3, 28.3, 37.1, 46.7, 55.5, 66.2, 75.9), 47.3),
    "L2-g": ((21.6, 29.9, 37.6, 46.7, 56.7, 65.8, 75.3), 47.6),
    "L2-h": ((23.7, 31.6, 40.3, 50.0, 59.6, 69.5, 78.0), 50.4),
}


def literal_sensitivity_at(rates: list[float], sensitivities: list[float], wanted: float) -> float:
    if not rates or wanted < rates[0]:
        return 0.0
    if wanted > rates[-1]:
        return sensitivities[-1]
    last = max(i for i, rate in enumerate(rates) if rate <= wanted)
    if last == len(rates) - 1:
        return sensitivities[last]
    step = (wanted - rates[last]) / (rates[last + 1] - rates[last])
    return sensitivities[last] + step * (sensitivities[last + 1] - sensitivities[last])


@given(evaluations(), st.sampled_from(Overlap))
def test_the_curve_is_that_of_the_literal_rules(case: tuple[Volumes, Volumes], overlap: Overlap) -> None:
    predictions, truths = case
    rates, sensitivities = literal_froc(predictions, truths, overlap)
    curve = match(half_open(predictions), half_open(truths), overlap).curve()
    assert curve.false_positives_per_volume.tolist() == rates
    assert np.array_equal(curve.sensitivity, sensitivities, equal_nan=True)
    if curve.lesions:
        expected = [literal_sensitivity_at(rates, sensitivities, wanted) for wanted in (0, *FALSE_POSITIVE_RATES)]
        assert curve.sensitivity_at((0, *FALSE_POSITIVE_RATES)).tolist() == pytest.approx(expected, abs=1e-12)


@given(evaluations())
def test_sensitivity_never_falls_when_more_false_positives_are_allowed(case: tuple[Volumes, Volumes]) -> None:
    curve = match(half_open(case[0]), half_open(case[1])).curve()
    assert (np.diff(curve.false_positives_per_volume) >= 0).all()
    if curve.lesions:
        assert (np.diff(curve.sensitivity) >= 0).all()
        assert (np.diff(curve.sensitivity_at(np.linspace(0, 9, 50).tolist())) >= 0).all()


def test_one_box_may_find_several_lesions() -> None:
    truths = volumes(a=[box(0), box(5)])
    curve = match(volumes(a=[box(2, score=0.9)]), truths).curve()
    assert curve.sensitivity.tolist() == [1.0]
    assert curve.false_positives_per_volume.tolist() == [0.0]


def test_a_second_hit_on_a_lesion_counts_neither_way() -> None:
    curve = match(volumes(a=[box(0, score=0.9), box(1, score=0.8)]), volumes(a=[box(0), box(50)])).curve()
    assert curve.sensitivity.tolist() == [0.5, 0.5]
    assert curve.false_positives_per_volume.tolist() == [0.0, 0.0]


def test_an_overlap_of_exactly_the_threshold_is_a_hit() -> None:
    shares_three_of_ten, shares_less = volumes(a=[box(7, score=1)]), volumes(a=[box(7.01, score=1)])
    assert match(shares_three_of_ten, volumes(a=[box(0)])).curve().average_sensitivity == 1.0
    assert match(shares_less, volumes(a=[box(0)])).curve().average_sensitivity == 0.0


def test_of_equal_scores_the_later_entry_comes_first() -> None:
    truths = volumes(a=[box(0)], b=np.zeros((0, 6)))
    curve = match(volumes(a=[box(0, score=0.5)], b=[box(0, score=0.5)]), truths).curve()
    assert curve.false_positives_per_volume.tolist() == [0.5, 0.5]
    assert curve.sensitivity.tolist() == [0.0, 1.0]
    within = match(volumes(a=[box(0, score=0.5), box(50, score=0.5)]), volumes(a=[box(0)])).curve()
    assert within.sensitivity.tolist() == [0.0, 1.0]


def test_a_rate_met_exactly_gives_the_highest_sensitivity_there() -> None:
    truths = volumes(a=[box(0), box(50)], **{f"empty{i}": np.zeros((0, 6)) for i in range(7)})
    predictions = volumes(a=[box(200, score=0.9), box(0, score=0.8), box(50, score=0.7)])
    curve = match(predictions, truths).curve()
    assert curve.false_positives_per_volume.tolist() == [0.125, 0.125, 0.125]
    assert curve.sensitivity_at((0.1, 0.125, 0.2)).tolist() == [0.0, 1.0, 1.0]


def test_left_of_the_first_point_nothing_is_found_and_right_of_the_last_nothing_more() -> None:
    curve = match(volumes(a=[box(200, score=0.9), box(0, score=0.8)]), volumes(a=[box(0), box(50)])).curve()
    assert curve.sensitivity_at((0.99, 1, 1000)).tolist() == [0.0, 0.5, 0.5]


@pytest.mark.parametrize("overlap", Overlap)
def test_a_box_of_nan_is_a_false_positive(overlap: Overlap) -> None:
    broken = [float("nan"), *box(0, score=0.9)[1:]]
    curve = match(volumes(a=[broken, box(0, score=0.8)]), volumes(a=[box(0)]), overlap).curve()
    assert curve.false_positives_per_volume.tolist() == [1.0, 1.0]
    assert curve.sensitivity.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("overlap", Overlap)
def test_an_inverted_box_is_a_false_positive(overlap: Overlap) -> None:
    curve = match(volumes(a=[[10, 10, 10, 0, 0, 0, 0.9]]), volumes(a=[box(0)]), overlap).curve()
    assert curve.false_positives_per_volume.tolist() == [1.0]


def test_volumes_without_lesions_or_predictions_count_in_the_rate() -> None:
    truths = volumes(a=[box(0)], b=np.zeros((0, 6)), c=np.zeros((0, 6)), d=[box(0)])
    curve = match(volumes(b=[box(0, score=0.9)]), truths).curve()
    assert curve.false_positives_per_volume.tolist() == [0.25]
    assert (curve.volumes, curve.lesions) == (4, 2)


def test_without_predictions_nothing_is_found() -> None:
    curve = match({}, volumes(a=[box(0)])).curve()
    assert curve.sensitivity_at().tolist() == [0.0] * 7
    assert curve.average_sensitivity == 0.0


def test_without_any_lesion_the_sensitivity_is_not_a_number() -> None:
    for predictions in ({}, volumes(a=[box(0, score=0.9)])):
        curve = match(predictions, volumes(a=np.zeros((0, 6)))).curve()
        assert np.isnan(curve.sensitivity_at()).all()


def test_an_evaluation_of_no_volumes_is_not_a_number() -> None:
    assert np.isnan(match({}, {}).curve().average_sensitivity)


def test_key_slices_are_evaluated_in_two_dimensions() -> None:
    truth, found = np.asarray([[0, 0, 10, 10]]), np.asarray([[0, 0, 10, 5, 0.9]])
    assert match({"a": found}, {"a": truth}, Overlap.IOU, 0.5, dimensions=2).curve().average_sensitivity == 1.0


BROKEN: dict[str, tuple[dict[str, Any], dict[str, Any], float, str]] = {
    "a prediction without truth": (volumes(b=[box(0, score=1)]), volumes(a=[box(0)]), 0.3, "first is b"),
    "no score": (volumes(a=[box(0)]), volumes(a=[box(0)]), 0.3, "(1, 6)"),
    "a score of nan": (volumes(a=[box(0, score=float("nan"))]), volumes(a=[box(0)]), 0.3, "of a has no number"),
    "a true box without extent": ({}, volumes(a=[box(0, side=0)]), 0.3, "no extent"),
    "an inverted true box": ({}, volumes(a=[[5, 0, 0, 1, 1, 1]]), 0.3, "low <= high"),
    "a true box of nan": ({}, volumes(a=[[float("nan"), 0, 0, 1, 1, 1]]), 0.3, "Finite"),
    "a threshold of zero": ({}, volumes(a=[box(0)]), 0.0, "threshold is 0.0"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_evaluations_are_refused_by_name(name: str) -> None:
    predictions, truths, threshold, message = BROKEN[name]
    with pytest.raises(BoxError) as refused:
        match(predictions, truths, threshold=threshold)
    assert message in str(refused.value)


@pytest.mark.parametrize("row", PUBLISHED_ROWS)
def test_the_published_averages_come_out_of_synthetic_predictions(row: str) -> None:
    percent, average = PUBLISHED_ROWS[row]
    volume_count, lesion_count = 800, 4155
    names = [f"v{i}" for i in range(volume_count)]
    lesions: dict[str, list[list[float]]] = {name: [] for name in names}
    for lesion in range(lesion_count):
        lesions[names[lesion % volume_count]].append(box(20 * (lesion // volume_count)))
    predictions: dict[str, list[list[float]]] = {name: [] for name in names}
    score, found, false_positives = 1.0, 0, 0
    for rate, share in zip(FALSE_POSITIVE_RATES, percent, strict=True):
        while false_positives < rate * volume_count:
            score -= 1e-5
            predictions[names[false_positives % volume_count]].append(box(5000, score=score))
            false_positives += 1
        while found < round(share / 100 * lesion_count):
            score -= 1e-5
            predictions[names[found % volume_count]].append(box(20 * (found // volume_count), score=score))
            found += 1
    curve = match(volumes(**predictions), volumes(**lesions)).curve()
    assert (100 * curve.sensitivity_at()).tolist() == pytest.approx(percent, abs=0.013)  # half a lesion of 4155
    assert 100 * curve.average_sensitivity == pytest.approx(average, abs=0.1)  # both sides printed rounded


@pytest.mark.parametrize("row", PUBLISHED_ROWS)
def test_the_average_of_a_published_row_is_the_printed_one(row: str) -> None:
    percent, average = PUBLISHED_ROWS[row]
    rates, shares = np.asarray(FALSE_POSITIVE_RATES), np.asarray(percent) / 100
    curve = FrocCurve(rates, shares, np.linspace(1, 0, 7), volumes=800, lesions=4155, rule="3D IoBB ≥ 0.3")
    assert 100 * curve.average_sensitivity == pytest.approx(average, abs=0.06)  # all eight are printed rounded


@given(evaluations(distinct_scores=True), st.randoms(use_true_random=False))
def test_the_order_of_the_volumes_changes_nothing(case: tuple[Volumes, Volumes], random: Random) -> None:
    predictions, truths = half_open(case[0]), half_open(case[1])
    names = random.sample(list(truths), len(truths))
    shuffled = match(predictions, {name: truths[name] for name in names}).curve()
    curve = match(predictions, truths).curve()
    assert np.array_equal(shuffled.sensitivity, curve.sensitivity, equal_nan=True)
    assert shuffled.false_positives_per_volume.tolist() == curve.false_positives_per_volume.tolist()


@given(evaluations(distinct_scores=True), st.sampled_from(Overlap))
def test_a_duplicate_with_a_lower_score_is_neither_found_nor_false(
    case: tuple[Volumes, Volumes], overlap: Overlap
) -> None:
    predictions, truths = half_open(case[0]), half_open(case[1])
    plain = match(predictions, truths, overlap)
    hit = {name: rows[_rows_that_hit(plain, name)] for name, rows in predictions.items()}
    lower = {name: np.column_stack([rows[:, :6], rows[:, 6] - 1]) for name, rows in hit.items()}
    both = {name: np.concatenate([rows, lower[name]]) for name, rows in predictions.items()}
    doubled = match(both, truths, overlap)
    assert doubled.is_false_positive.sum() == plain.is_false_positive.sum()
    assert doubled.new_lesions.sum() == plain.new_lesions.sum()
    assert np.array_equal(doubled.curve().sensitivity_at(), plain.curve().sensitivity_at(), equal_nan=True)


def _rows_that_hit(matches: Matches, name: str) -> Boxes:
    return matches.rows[(matches.volume_index == matches.names.index(name)) & ~matches.is_false_positive]


@given(evaluations(distinct_scores=True))
def test_the_larger_share_of_both_boxes_finds_at_least_as_much(case: tuple[Volumes, Volumes]) -> None:
    predictions, truths = half_open(case[0]), half_open(case[1])
    loose = match(predictions, truths, Overlap.IOBBGT).curve()
    for overlap in (Overlap.IOBB, Overlap.IOGT, Overlap.IOU):
        strict = match(predictions, truths, overlap).curve()
        if strict.lesions:
            assert (loose.sensitivity_at() >= strict.sensitivity_at()).all()


@given(evaluations(distinct_scores=True), st.integers(0, 3))
def test_boxes_on_one_slice_are_measured_alike_in_two_and_three_dimensions(
    case: tuple[Volumes, Volumes], slice_index: int
) -> None:
    def flat(rows: Boxes) -> Boxes:
        return np.delete(rows, [2, 5], axis=1)

    def thin(rows: Boxes) -> Boxes:
        rows = np.array(rows)
        rows[:, 2], rows[:, 5] = slice_index, slice_index + 1
        return rows

    predictions, truths = half_open(case[0]), half_open(case[1])
    for overlap in Overlap:
        solid = match({n: thin(r) for n, r in predictions.items()}, {n: thin(r) for n, r in truths.items()}, overlap)
        plane = match(
            {n: flat(r) for n, r in predictions.items()}, {n: flat(r) for n, r in truths.items()}, overlap, dimensions=2
        )
        assert solid.found_by.tolist() == plane.found_by.tolist()
        assert solid.is_false_positive.tolist() == plane.is_false_positive.tolist()


def test_a_strict_rule_wants_more_than_the_threshold() -> None:
    half = volumes(a=[[0, 0, 0, 10, 10, 5, 0.9]])
    for is_strict, found in ((False, 1.0), (True, 0.0)):
        matches = match(half, volumes(a=[box(0)]), Overlap.IOU, 0.5, is_strict=is_strict)
        assert matches.curve().average_sensitivity == found
    assert matches.rule == "3D IoU > 0.5"


def test_of_lesions_measures_a_part_at_the_false_positives_of_the_whole() -> None:
    truths = volumes(a=[box(0), box(50)], b=[box(0)])
    matches = match(volumes(a=[box(50, score=0.9), box(200, score=0.8)], b=[box(0, score=0.7)]), truths)
    part = matches.of_lesions(np.asarray([True, False, True])).curve()
    assert part.false_positives_per_volume.tolist() == matches.curve().false_positives_per_volume.tolist()
    assert part.sensitivity.tolist() == [0.0, 0.0, 0.5]
    assert part.lesions == 2


def test_findings_of_one_expert_become_rows() -> None:
    found = [Finding(expert, (0, 1, 2, 3, 4, 5), (), 0.5) for expert in ("lung", FUSED)]
    assert prediction_rows(found, "lung").tolist() == [[0, 1, 2, 3, 4, 5, 0.5]]
    assert prediction_rows(found, "liver").shape == (0, 7)
