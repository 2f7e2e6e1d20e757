"""The LUNA16 protocol, rule by rule, and as a whole against a slow reading of its description."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measures.froc_cases import Boxes

from lens_engine.errors import BoxError
from lens_engine.evaluation.froc import FALSE_POSITIVE_RATES, FrocCurve
from lens_engine.evaluation.luna16 import (
    MAX_MARKS_PER_SCAN,
    Luna16Result,
    candidates_of,
    evaluate_luna16,
    luna16_curve,
    match_luna16,
)
from lens_engine.findings import FUSED, Finding
from lens_engine.geometry import VolumeGeometry

Scans = Mapping[str, Boxes]
Rows = Sequence[Sequence[float]]


def scan(rows: Rows) -> Scans:
    return {"a": np.asarray(rows, dtype=np.float64).reshape(-1, 4)}


def curve(candidates: Rows, nodules: Rows, excluded: Rows = ()) -> FrocCurve:
    return luna16_curve(match_luna16(scan(candidates), scan(nodules), scan(excluded)))


def points(measured: FrocCurve) -> list[tuple[float, float]]:
    return list(zip(measured.false_positives_per_volume.tolist(), measured.sensitivity.tolist(), strict=True))


NODULE = (0, 0, 0, 10)


def test_a_candidate_on_the_surface_of_a_nodule_misses_it() -> None:
    assert points(curve([(4.999, 0, 0, 0.9)], [NODULE])) == [(0, 0), (0, 1)]
    assert points(curve([(3, 4, 0, 0.9)], [NODULE])) == [(0, 0), (1, 0)]


def test_the_best_of_several_hits_counts_and_the_others_do_not() -> None:
    measured = curve([(0, 0, 1, 0.5), (0, 0, 0, 0.9), (1, 0, 0, 0.7)], [NODULE])
    assert points(measured) == [(0, 0), (0, 1), (0, 1), (0, 1)]
    assert measured.scores.tolist() == [np.inf, 0.9, 0.7, 0.5]


def test_one_candidate_may_hit_two_nodules() -> None:
    assert points(curve([(0, 0, 0, 0.9)], [NODULE, (1, 0, 0, 8)])) == [(0, 0), (0, 1)]


def test_a_candidate_on_an_excluded_finding_counts_neither_way() -> None:
    excluded = [(50, 0, 0, 10)]
    assert points(curve([(50, 0, 0, 0.9)], [NODULE], excluded)) == [(0, 0), (0, 0)]
    assert points(curve([(50, 0, 0, 0.9)], [NODULE])) == [(0, 0), (1, 0)]


def test_a_nodule_goes_before_an_excluded_finding() -> None:
    assert points(curve([(1, 0, 0, 0.9)], [NODULE], [NODULE])) == [(0, 0), (0, 1)]


def test_an_unknown_diameter_is_ten_millimetres() -> None:
    for place, false_positives in ((4.9, 0), (5.1, 1)):
        assert points(curve([(place, 0, 0, 0.9)], [(80, 0, 0, 4)], [(0, 0, 0, -1)]))[-1] == (false_positives, 0)


def test_missed_nodules_stay_in_the_denominator() -> None:
    assert points(curve([(0, 0, 0, 0.9)], [NODULE, (80, 0, 0, 4), (90, 0, 0, 4)]))[-1] == (0, pytest.approx(1 / 3))


def test_equal_probabilities_are_one_point_and_the_curve_is_straight_between_points() -> None:
    measured = curve([(0, 0, 0, 0.9), (99, 0, 0, 0.9), (0, 80, 0, 0.5), (99, 0, 9, 0.5)], [NODULE, (0, 80, 0, 9)])
    assert points(measured) == [(0, 0), (1, 0.5), (2, 1)]
    assert measured.sensitivity_at((0.5, 1.5, 8)).tolist() == [0.25, 0.75, 1]


def test_only_the_hundred_most_probable_candidates_of_a_scan_count() -> None:
    far = [(100 + i, 0, 0, 0.9) for i in range(MAX_MARKS_PER_SCAN)]
    assert points(curve([*far[1:], (0, 0, 0, 0.1)], [NODULE]))[-1] == (MAX_MARKS_PER_SCAN - 1, 1)
    assert points(curve([*far, (0, 0, 0, 0.1)], [NODULE]))[-1] == (MAX_MARKS_PER_SCAN, 0)


def test_a_tie_at_the_limit_is_left_out_as_a_whole() -> None:
    better = [(100 + i, 0, 0, 0.9) for i in range(60)]
    equal = [(300 + i, 0, 0, 0.5) for i in range(60)]
    assert points(curve([*better, *equal], [NODULE]))[-1] == (60, 0)


def test_without_false_positives_every_rate_reads_the_last_sensitivity() -> None:
    assert curve([(0, 0, 0, 0.9)], [NODULE, (80, 0, 0, 4)]).sensitivity_at().tolist() == [0.5] * 7


def test_without_nodules_or_candidates_the_metric_is_unknown_or_nothing() -> None:
    generator = np.random.default_rng(0)
    unknown = evaluate_luna16(scan([(0, 0, 0, 0.9)]), scan([]), {}, generator, rounds=5)
    assert np.isnan([unknown.metric.value, unknown.metric.low]).all()
    nothing = evaluate_luna16({}, scan([NODULE]), {}, generator, rounds=5)
    assert (nothing.metric.value, nothing.metric.low, nothing.metric.high) == (0, 0, 0)


def test_broken_scans_are_refused_by_name() -> None:
    with pytest.raises(BoxError, match="first is b"):
        match_luna16({"b": np.zeros((0, 4))}, scan([NODULE]), {})
    with pytest.raises(BoxError, match="first is b"):
        match_luna16({}, scan([NODULE]), {"b": np.zeros((0, 4))})
    with pytest.raises(BoxError, match=r"nodules of a have shape \(1, 3\)"):
        match_luna16({}, {"a": np.zeros((1, 3))}, {})
    with pytest.raises(BoxError, match="no place or no size"):
        match_luna16({}, scan([(0, 0, float("nan"), 5)]), {})
    with pytest.raises(BoxError, match="no number as its score"):
        match_luna16(scan([(0, 0, 0, float("nan"))]), scan([NODULE]), {})


def test_a_place_that_is_no_number_is_a_false_positive() -> None:
    assert points(curve([(float("nan"), 0, 0, 0.9)], [NODULE])) == [(0, 0), (1, 0)]


def test_findings_become_points_in_the_patient() -> None:
    geometry = VolumeGeometry((20, 64, 64), (2.5, 0.5, 0.7), origin_mm=(-10.0, 20.0, 300.0))
    findings = [Finding(FUSED, (4, 10, 2, 7, 12, 3), (), 0.75), Finding("lung", (0, 0, 0, 1, 1, 1), (), 0.5)]
    # centre (5, 10.5, 2) in voxel centres: 0.7 mm to the left, 0.5 mm to the back, 2.5 mm to the feet each
    assert candidates_of(findings, FUSED, geometry) == pytest.approx(np.asarray([[-6.5, 25.25, 295.0, 0.75]]))
    assert candidates_of(findings, "lung", geometry)[0, :3] == pytest.approx(np.asarray(geometry.origin_mm))
    assert candidates_of((), "lung", geometry).shape == (0, 4)


def literal_sensitivities(candidates: Scans, nodules: Scans, excluded: Scans) -> list[float]:
    """Read the protocol sentence by sentence, with a ROC over every threshold and nothing vectorised."""
    positives: list[float] = []
    negatives: list[float] = []
    for name, rows in nodules.items():
        marks = [tuple(row) for row in candidates.get(name, [])]
        irrelevant = [row for row in marks if any(is_inside(row, sphere) for sphere in excluded.get(name, []))]
        positives += [
            max((row[3] for row in marks if is_inside(row, nodule)), default=float("-inf")) for nodule in rows
        ]
        negatives += [
            row[3] for row in marks if row not in irrelevant and not any(is_inside(row, nodule) for nodule in rows)
        ]
    if not positives:
        return [float("nan")] * len(FALSE_POSITIVE_RATES)
    thresholds = sorted({score for score in (*positives, *negatives) if score > float("-inf")}, reverse=True)
    places = [(0.0, 0.0)]
    for threshold in thresholds:
        false_positive_rate = sum(score >= threshold for score in negatives) / max(1, len(negatives))
        hits = [score for score in positives if score > float("-inf")]
        true_positive_rate = sum(score >= threshold for score in hits) / max(1, len(hits))
        places.append(
            (false_positive_rate * len(negatives) / len(nodules), true_positive_rate * len(hits) / len(positives))
        )
    return [interpolated(places, rate) for rate in FALSE_POSITIVE_RATES]


def is_inside(mark: Sequence[float], sphere: Sequence[float]) -> bool:
    diameter = 10.0 if sphere[3] < 0 else sphere[3]
    return sum((mark[axis] - sphere[axis]) ** 2 for axis in range(3)) < (diameter / 2) ** 2


def interpolated(places: Sequence[tuple[float, float]], rate: float) -> float:
    before = [place for place in places if place[0] <= rate][-1]
    after = next((place for place in places if place[0] > rate), None)
    if after is None:
        return before[1]
    return before[1] + (after[1] - before[1]) * (rate - before[0]) / (after[0] - before[0])


places = st.tuples(*[st.integers(0, 5)] * 3)


@st.composite
def luna16_cases(draw: st.DrawFn) -> tuple[Scans, Scans, Scans]:
    """Scans in a space so small, and with so few probabilities, that hits and ties are common."""
    candidates, nodules, excluded = {}, {}, {}
    for index in range(draw(st.integers(1, 4))):
        name = f"s{index}"
        marks = draw(st.lists(st.tuples(places, st.integers(0, 6)), max_size=8))
        spheres = draw(st.lists(st.tuples(places, st.integers(1, 5)), max_size=3))
        others = draw(st.lists(st.tuples(places, st.sampled_from([-1, 2, 3])), max_size=1))
        candidates[name] = np.asarray([(*place, score / 6) for place, score in marks]).reshape(-1, 4)
        nodules[name] = np.asarray([(*place, size) for place, size in spheres], dtype=np.float64).reshape(-1, 4)
        excluded[name] = np.asarray([(*place, size) for place, size in others], dtype=np.float64).reshape(-1, 4)
    return candidates, nodules, excluded


@given(luna16_cases())
def test_the_curve_is_that_of_the_literal_protocol(case: tuple[Scans, Scans, Scans]) -> None:
    measured = luna16_curve(match_luna16(*case)).sensitivity_at()
    assert measured.tolist() == pytest.approx(literal_sensitivities(*case), nan_ok=True)


def crowd(count: int, seed: int) -> tuple[Scans, Scans]:
    generator = np.random.default_rng(seed)
    candidates, nodules = {}, {}
    for index in range(count):
        spheres = np.column_stack([generator.uniform(0, 100, (3, 3)), generator.uniform(5, 20, 3)])
        right = np.column_stack([spheres[:2, :3] + 1, generator.uniform(0.3, 1, 2).round(2)])
        wrong = np.column_stack([generator.uniform(200, 300, (20, 3)), generator.uniform(0, 0.8, 20).round(2)])
        candidates[f"s{index}"], nodules[f"s{index}"] = np.concatenate([right, wrong]), spheres
    return candidates, nodules


def test_resampling_scans_equals_repeating_them() -> None:
    candidates, nodules = crowd(6, seed=0)
    rounds = 40
    result = evaluate_luna16(candidates, nodules, {}, np.random.default_rng(3), rounds)
    drawn = np.random.default_rng(3).multinomial(6, np.full(6, 1 / 6), size=rounds)
    metrics = []
    for counts in drawn:
        copies = [(name, f"{name}-{k}") for name, count in zip(nodules, counts, strict=True) for k in range(count)]
        repeated = [{copy: part[name] for name, copy in copies} for part in (candidates, nodules)]
        metrics.append(luna16_curve(match_luna16(repeated[0], repeated[1], {})).average_sensitivity)
    assert (result.metric.low, result.metric.high) == pytest.approx(tuple(np.quantile(metrics, [0.025, 0.975])))


def test_intervals_hold_the_value_and_shrink_with_more_scans() -> None:
    def measured(count: int) -> Luna16Result:
        return evaluate_luna16(*crowd(count, seed=1), {}, np.random.default_rng(0))

    few, many = measured(10), measured(80)
    assert few.metric.low <= few.metric.value <= few.metric.high
    assert many.metric.high - many.metric.low < few.metric.high - few.metric.low
    assert [part.value for part in many.sensitivities] == many.curve.sensitivity_at().tolist()
