"""Every expert that sees a place is named with its best score there: its own box may be another one."""

from dataclasses import replace

import pytest
from support.measures.mining_cases import EXPERTS, Seen, series

from lens_engine.findings import FUSED, Finding, slices_of_box
from lens_engine.mining.place_scores import PlaceScores
from lens_engine.mining.settings import MiningSettings


def finding(x: float, slices: range, side: float = 20, expert: str = "lung", score: float = 0.6) -> Finding:
    box = (x, 50.0, float(slices[0]), x + side, 50 + side, float(slices[-1] + 1))
    return Finding(expert, box, slices_of_box(box), score, {expert: score})


def scores(own: Finding, *lesions: Seen, slice_mm: float = 2.0) -> dict[str, float]:
    places = PlaceScores.of(series(list(lesions), slice_mm=slice_mm), MiningSettings())
    return dict(places.complete(own).expert_scores)


def universal(x: float, slices: range, side: float = 20) -> Seen:
    return Seen(x, slices, {"universal": 0.9}, side=side)


OWN = finding(100, range(10, 15))

SEES_IT = {
    "the same box": universal(100, range(10, 15)),
    "one slice of it": universal(100, range(12, 13)),
    "a slice at its end, the centres apart": universal(100, range(14, 25)),
    "a large box around it": universal(85, range(10, 15), side=50),
    "a small box inside it": universal(107, range(12, 13), side=6),
    "a third of it": universal(110, range(10, 15)),
}
SEES_ANOTHER = {
    "beside it": universal(120, range(10, 15)),
    "touching with a corner": universal(112, range(10, 15)),
    "below it": universal(100, range(15, 20)),
    "below it, farther": universal(100, range(30, 35)),
}


@pytest.mark.parametrize("name", SEES_IT)
def test_who_sees_the_place_is_named(name: str) -> None:
    assert scores(OWN, SEES_IT[name]) == pytest.approx({"universal": 0.9, "lung": 0.6, FUSED: 0.9})


@pytest.mark.parametrize("name", SEES_ANOTHER)
def test_who_sees_another_place_is_absent(name: str) -> None:
    assert scores(OWN, SEES_ANOTHER[name]) == pytest.approx({"lung": 0.6})


def test_of_two_boxes_of_an_expert_the_one_that_overlaps_most_counts() -> None:
    near = Seen(103, range(10, 15), {"universal": 0.3}, side=10)
    around = Seen(70, range(5, 20), {"universal": 0.9}, side=80)
    assert scores(OWN, near, around)["universal"] == pytest.approx(0.3)


def test_a_score_is_never_lowered_and_the_findings_own_is_among_them() -> None:
    sure = finding(100, range(10, 15), score=0.95)
    assert scores(sure, Seen(100, range(10, 15), {"lung": 0.2}))["lung"] == 0.95


def test_experts_are_named_in_the_order_of_the_detector() -> None:
    found = scores(OWN, Seen(100, range(10, 15), {"liver": 0.3, "universal": 0.9, "lung": 0.7}))
    assert tuple(found) == EXPERTS


def test_cross_sections_of_thick_slices_are_met_on_the_grid() -> None:
    # Slice 4 of 5 mm lies at 20 mm, on grid slice 10.
    assert "universal" in scores(finding(100, range(4, 5)), universal(100, range(10, 11)), slice_mm=5.0)
    assert "universal" not in scores(finding(100, range(4, 5)), universal(100, range(30, 31)), slice_mm=5.0)


def test_where_nobody_sees_anything_the_finding_stands_alone() -> None:
    assert scores(OWN) == {"lung": 0.6}


def test_what_false_positive_reduction_has_judged_counts_for_the_fusion() -> None:
    judged = replace(finding(100, range(10, 15), expert=FUSED, score=0.4), detector_score=0.9)
    seen = series([universal(100, range(10, 15))])
    places = PlaceScores.of(replace(seen, findings=(judged,)), MiningSettings())
    assert places.complete(OWN).expert_scores == pytest.approx({"universal": 0.9, "lung": 0.6, FUSED: 0.4})
