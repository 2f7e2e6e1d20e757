"""The official FROC, against a slow literal reading of its rules and against the published annotations."""

import io
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lens_engine.boxes import Overlap, from_inclusive
from lens_engine.errors import BoxError
from lens_engine.froc import (
    FALSE_POSITIVE_RATES,
    bootstrap_interval,
    evaluate,
    match,
    paired_difference_interval,
    patient_resamples,
    resampled_sensitivities,
)

Boxes = NDArray[np.float64]
Volumes = Mapping[str, Boxes]

PUBLISHED_ROWS = {  # spec R1: sensitivity in % at the seven rates, and their printed average
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


def literal_froc(
    predictions: Volumes, truths: Volumes, overlap: Overlap, threshold: float = 0.3
) -> tuple[list[float], list[float]]:
    """Read the published rules one by one: inclusive boxes, one prediction at a time, nothing vectorised."""
    pooled = [(name, row) for name in truths for row in predictions.get(name, [])]
    ascending = sorted(range(len(pooled)), key=lambda i: pooled[i][1][6])
    hit_before: set[tuple[str, int]] = set()
    lesions = sum(len(boxes) for boxes in truths.values())
    false_positives, rates, sensitivities = 0, [], []
    for i in reversed(ascending):
        name, row = pooled[i]
        shares = [literal_overlap(row, truth, overlap) for truth in truths[name]]
        if not shares or any(np.isnan(share) for share in shares) or max(shares) < threshold:
            false_positives += 1
        else:
            hit_before |= {(name, g) for g, share in enumerate(shares) if share >= threshold}
        rates.append(false_positives / len(truths))
        sensitivities.append(len(hit_before) / lesions if lesions else float("nan"))
    return rates, sensitivities


def literal_overlap(found: Boxes, truth: Boxes, overlap: Overlap) -> float:
    shared = own = other = 1.0
    for axis in range(3):
        shared *= max(0.0, min(found[axis + 3], truth[axis + 3]) - max(found[axis], truth[axis]) + 1)
        own *= found[axis + 3] - found[axis] + 1
        other *= truth[axis + 3] - truth[axis] + 1
    if np.isnan(found[:6]).any():
        return float("nan")
    shares = {Overlap.IOBB: shared / own, Overlap.IOGT: shared / other, Overlap.IOU: shared / (own + other - shared)}
    return max(shares[Overlap.IOBB], shares[Overlap.IOGT]) if overlap is Overlap.IOBBGT else shares[overlap]


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


@st.composite
def inclusive_boxes(draw: st.DrawFn, largest: int) -> Boxes:
    """Integer boxes with inclusive ends in a space small enough that many overlap."""
    count = draw(st.integers(0, largest))
    triples = st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=count, max_size=count)
    low, extent = (np.asarray(draw(triples), dtype=np.float64).reshape(-1, 3) for _ in range(2))
    return np.column_stack([low, low + extent])


@st.composite
def evaluations(draw: st.DrawFn, distinct_scores: bool = False) -> tuple[Volumes, Volumes]:
    """Predictions (inclusive, with scores) and truths of a few volumes; some are empty, some scores are equal."""
    truths = {f"v{i}": draw(inclusive_boxes(4)) for i in range(draw(st.integers(1, 4)))}
    predictions = {}
    for index, name in enumerate(truths):
        boxes = draw(inclusive_boxes(5))
        tenths = st.lists(st.integers(0, 9), min_size=len(boxes), max_size=len(boxes), unique=distinct_scores)
        scores = np.asarray(draw(tenths), dtype=np.float64) / 10 + (0.001 * index if distinct_scores else 0)
        predictions[name] = np.column_stack([boxes, scores])
    return predictions, truths


def half_open(volumes: Volumes) -> dict[str, Boxes]:
    return {name: np.column_stack([from_inclusive(rows[:, :6]), rows[:, 6:]]) for name, rows in volumes.items()}


@given(evaluations(), st.sampled_from(Overlap))
def test_the_curve_is_that_of_the_literal_rules(case: tuple[Volumes, Volumes], overlap: Overlap) -> None:
    predictions, truths = case
    rates, sensitivities = literal_froc(predictions, truths, overlap)
    curve = evaluate(half_open(predictions), half_open(truths), overlap)
    assert curve.false_positives_per_volume.tolist() == rates
    assert np.array_equal(curve.sensitivity, sensitivities, equal_nan=True)
    if curve.lesions:
        expected = [literal_sensitivity_at(rates, sensitivities, wanted) for wanted in (0, *FALSE_POSITIVE_RATES)]
        assert curve.sensitivity_at((0, *FALSE_POSITIVE_RATES)).tolist() == pytest.approx(expected, abs=1e-12)


@given(evaluations())
def test_sensitivity_never_falls_when_more_false_positives_are_allowed(case: tuple[Volumes, Volumes]) -> None:
    curve = evaluate(half_open(case[0]), half_open(case[1]))
    assert (np.diff(curve.false_positives_per_volume) >= 0).all()
    if curve.lesions:
        assert (np.diff(curve.sensitivity) >= 0).all()
        assert (np.diff(curve.sensitivity_at(np.linspace(0, 9, 50).tolist())) >= 0).all()


@given(evaluations(distinct_scores=True), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_weighting_a_volume_equals_repeating_it(case: tuple[Volumes, Volumes], repeats: list[int]) -> None:
    predictions, truths = half_open(case[0]), half_open(case[1])
    weights = np.asarray([repeats[: len(truths)]])
    copies = [(name, f"{name}-{k}") for name, count in zip(truths, weights[0], strict=True) for k in range(count)]
    found, there = ({copy: content[name] for name, copy in copies} for content in (predictions, truths))
    repeated = evaluate(found, there)
    weighted = resampled_sensitivities(match(predictions, truths), weights)[0]
    assert weighted.tolist() == pytest.approx(repeated.sensitivity_at().tolist(), nan_ok=True)


def box(x: float, side: float = 10, score: float | None = None) -> list[float]:
    return [x, 0, 0, x + side, side, side] + ([] if score is None else [score])


def volumes(**rows: Any) -> dict[str, Boxes]:
    return {name: np.asarray(values, dtype=np.float64) for name, values in rows.items()}


def test_one_box_may_find_several_lesions() -> None:
    truths = volumes(a=[box(0), box(5)])
    curve = evaluate(volumes(a=[box(2, score=0.9)]), truths)
    assert curve.sensitivity.tolist() == [1.0]
    assert curve.false_positives_per_volume.tolist() == [0.0]


def test_a_second_hit_on_a_lesion_counts_neither_way() -> None:
    curve = evaluate(volumes(a=[box(0, score=0.9), box(1, score=0.8)]), volumes(a=[box(0), box(50)]))
    assert curve.sensitivity.tolist() == [0.5, 0.5]
    assert curve.false_positives_per_volume.tolist() == [0.0, 0.0]


def test_an_overlap_of_exactly_the_threshold_is_a_hit() -> None:
    shares_three_of_ten, shares_less = volumes(a=[box(7, score=1)]), volumes(a=[box(7.01, score=1)])
    assert evaluate(shares_three_of_ten, volumes(a=[box(0)])).average_sensitivity == 1.0
    assert evaluate(shares_less, volumes(a=[box(0)])).average_sensitivity == 0.0


def test_of_equal_scores_the_later_entry_comes_first() -> None:
    truths = volumes(a=[box(0)], b=np.zeros((0, 6)))
    curve = evaluate(volumes(a=[box(0, score=0.5)], b=[box(0, score=0.5)]), truths)
    assert curve.false_positives_per_volume.tolist() == [0.5, 0.5]
    assert curve.sensitivity.tolist() == [0.0, 1.0]
    within = evaluate(volumes(a=[box(0, score=0.5), box(50, score=0.5)]), volumes(a=[box(0)]))
    assert within.sensitivity.tolist() == [0.0, 1.0]


def test_a_rate_met_exactly_gives_the_highest_sensitivity_there() -> None:
    truths = volumes(a=[box(0), box(50)], **{f"empty{i}": np.zeros((0, 6)) for i in range(7)})
    predictions = volumes(a=[box(200, score=0.9), box(0, score=0.8), box(50, score=0.7)])
    curve = evaluate(predictions, truths)
    assert curve.false_positives_per_volume.tolist() == [0.125, 0.125, 0.125]
    assert curve.sensitivity_at((0.1, 0.125, 0.2)).tolist() == [0.0, 1.0, 1.0]


def test_left_of_the_first_point_nothing_is_found_and_right_of_the_last_nothing_more() -> None:
    curve = evaluate(volumes(a=[box(200, score=0.9), box(0, score=0.8)]), volumes(a=[box(0), box(50)]))
    assert curve.sensitivity_at((0.99, 1, 1000)).tolist() == [0.0, 0.5, 0.5]


@pytest.mark.parametrize("overlap", Overlap)
def test_a_box_of_nan_is_a_false_positive(overlap: Overlap) -> None:
    broken = [float("nan"), *box(0, score=0.9)[1:]]
    curve = evaluate(volumes(a=[broken, box(0, score=0.8)]), volumes(a=[box(0)]), overlap)
    assert curve.false_positives_per_volume.tolist() == [1.0, 1.0]
    assert curve.sensitivity.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("overlap", Overlap)
def test_an_inverted_box_is_a_false_positive(overlap: Overlap) -> None:
    curve = evaluate(volumes(a=[[10, 10, 10, 0, 0, 0, 0.9]]), volumes(a=[box(0)]), overlap)
    assert curve.false_positives_per_volume.tolist() == [1.0]


def test_volumes_without_lesions_or_predictions_count_in_the_rate() -> None:
    truths = volumes(a=[box(0)], b=np.zeros((0, 6)), c=np.zeros((0, 6)), d=[box(0)])
    curve = evaluate(volumes(b=[box(0, score=0.9)]), truths)
    assert curve.false_positives_per_volume.tolist() == [0.25]
    assert (curve.volumes, curve.lesions) == (4, 2)


def test_without_predictions_nothing_is_found() -> None:
    curve = evaluate({}, volumes(a=[box(0)]))
    assert curve.sensitivity_at().tolist() == [0.0] * 7
    assert curve.average_sensitivity == 0.0


def test_without_any_lesion_the_sensitivity_is_not_a_number() -> None:
    for predictions in ({}, volumes(a=[box(0, score=0.9)])):
        curve = evaluate(predictions, volumes(a=np.zeros((0, 6))))
        assert np.isnan(curve.sensitivity_at()).all()
        interval = bootstrap_interval(match(predictions, volumes(a=[])), ["p"], np.random.default_rng(0), rounds=10)
        assert np.isnan([interval.value, interval.low, interval.high]).all()


def test_an_evaluation_of_no_volumes_is_not_a_number() -> None:
    assert np.isnan(evaluate({}, {}).average_sensitivity)


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
    curve = evaluate(volumes(**predictions), volumes(**lesions))
    assert (100 * curve.sensitivity_at()).tolist() == pytest.approx(percent, abs=0.013)  # half a lesion of 4155
    assert 100 * curve.average_sensitivity == pytest.approx(average, abs=0.1)  # both sides printed rounded


def random_evaluation(volume_count: int, predictions_each: int, quality: float, seed: int) -> tuple[Volumes, Volumes]:
    generator = np.random.default_rng(seed)
    truths, predictions = {}, {}
    for index in range(volume_count):
        low = np.random.default_rng(1000 + index).uniform(0, 400, (4, 3))
        truths[f"v{index}"] = np.column_stack([low, low + 20])
        noise = generator.uniform(0, 400, (predictions_each, 3))
        wrong = np.column_stack([noise, noise + 20, generator.uniform(0, 0.8, predictions_each)])
        seen = truths[f"v{index}"][generator.random(4) < quality]
        right = np.column_stack([seen, generator.uniform(0.4, 1, len(seen))])
        predictions[f"v{index}"] = np.concatenate([wrong, right])
    return predictions, truths


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


def test_a_thousand_bootstraps_of_a_demo_take_less_than_a_second() -> None:
    matches = match(*random_evaluation(40, 400, 0.6, 0))
    start = time.perf_counter()
    bootstrap_interval(matches, [f"p{i // 2}" for i in range(40)], np.random.default_rng(0), rounds=1000)
    assert time.perf_counter() - start < 1


class AnnotationUnpickler(pickle.Unpickler):
    """Build arrays only."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            "ndarray": np.ndarray,
            "dtype": np.dtype,
            "_reconstruct": np._core.multiarray._reconstruct,  # type: ignore[attr-defined]  # how pickles name arrays
        }
        if not module.startswith("numpy"):
            raise pickle.UnpicklingError(f"{module}.{name}")
        return allowed[name]


@pytest.fixture(scope="module")
def manual_test_set(real_data: Path) -> dict[str, dict[str, Boxes]]:
    content = (real_data / "deeplesion_manual" / "DeepLesion_manual_1K_test_release.pkl").read_bytes()
    parts: dict[str, dict[str, Boxes]] = AnnotationUnpickler(io.BytesIO(content)).load()
    return parts


@pytest.mark.real_data
def test_the_published_test_set_has_the_published_counts(manual_test_set: dict[str, dict[str, Boxes]]) -> None:
    counts = {}
    for part, content in manual_test_set.items():
        first_last = [name.rsplit("_", 1)[1].split("-") for name in content]
        counts[part] = (
            len(content),
            sum(len(boxes) for boxes in content.values()),
            sum(int(last) - int(first) + 1 for first, last in first_last),
            len({name.split("_")[0] for name in content}),
            sum(len(boxes) == 0 for boxes in content.values()),
        )
    assert counts == {"val": (200, 1292, 9181, 99, 0), "test": (800, 4155, 34114, 519, 31)}


@pytest.mark.real_data
@pytest.mark.parametrize("overlap", Overlap)
def test_the_published_truth_as_prediction_finds_all(
    manual_test_set: dict[str, dict[str, Boxes]], overlap: Overlap
) -> None:
    truths = {name: from_inclusive(boxes) for part in manual_test_set.values() for name, boxes in part.items()}
    predictions = {name: np.column_stack([boxes, np.ones(len(boxes))]) for name, boxes in truths.items()}
    curve = evaluate(predictions, truths, overlap)
    assert curve.sensitivity_at().tolist() == [1.0] * 7
    assert curve.false_positives_per_volume[-1] == 0
    assert (curve.volumes, curve.lesions) == (1000, 5447)


@pytest.mark.real_data
def test_centre_voxels_satisfy_iobb_and_not_iou(manual_test_set: dict[str, dict[str, Boxes]]) -> None:
    truths = {name: from_inclusive(boxes) for name, boxes in manual_test_set["test"].items()}
    predictions = {}
    for name, boxes in truths.items():
        centre = np.floor((boxes[:, :3] + boxes[:, 3:]) / 2)
        predictions[name] = np.column_stack([centre, centre + 1, np.ones(len(boxes))])
    assert evaluate(predictions, truths, Overlap.IOBB).average_sensitivity == 1.0
    assert evaluate(predictions, truths, Overlap.IOBBGT).average_sensitivity == 1.0
    assert evaluate(predictions, truths, Overlap.IOU).average_sensitivity == 0.0


@pytest.mark.real_data
def test_shifted_truth_scores_the_same_as_by_the_literal_rules(manual_test_set: dict[str, dict[str, Boxes]]) -> None:
    generator = np.random.default_rng(0)
    truths = dict(list(manual_test_set["test"].items())[:150])
    predictions = {
        name: np.column_stack(
            [boxes + np.tile(generator.integers(-8, 9, (len(boxes), 3)), 2), generator.integers(0, 50, len(boxes)) / 50]
        )
        for name, boxes in truths.items()
    }
    for overlap in Overlap:
        rates, sensitivities = literal_froc(predictions, truths, overlap)
        curve = evaluate(half_open(predictions), half_open(truths), overlap)
        assert curve.sensitivity.tolist() == sensitivities
        assert curve.false_positives_per_volume.tolist() == rates
