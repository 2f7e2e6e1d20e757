"""MELD's criterion: one right cross-section makes a finding right, and nothing else does."""

import pytest
from hypothesis import given
from support.measures.froc_cases import Volumes, evaluations, half_open

from lens_engine.errors import BoxError
from lens_engine.evaluation.cross_sections import LesionSections, match_cross_sections
from lens_engine.findings import FUSED, Box2D, Finding, SliceBox, box_from_slices, slices_of_box

SQUARE: Box2D = (0, 0, 10, 10)


def finding(*slices: SliceBox, score: float = 0.9) -> Finding:
    return Finding(FUSED, box_from_slices(slices) if slices else (0, 0, 0, 1, 1, 1), slices, score)


def sensitivity(found: Finding, *lesions: LesionSections) -> list[float]:
    return match_cross_sections({"a": [found]}, {"a": lesions}).curve().sensitivity.tolist()


def test_one_right_slice_is_enough() -> None:
    grown = finding(SliceBox(3, (0, 0, 30, 30)), SliceBox(4, SQUARE), SliceBox(5, (0, 0, 40, 40)))
    assert sensitivity(grown, [SliceBox(4, SQUARE)]) == [1]
    assert sensitivity(grown, [SliceBox(5, SQUARE)]) == [0]


def test_the_right_box_on_another_slice_is_wrong() -> None:
    assert sensitivity(finding(SliceBox(3, SQUARE)), [SliceBox(4, SQUARE)]) == [0]


def test_half_of_a_lesion_is_not_enough_unless_asked_for() -> None:
    half, truth = finding(SliceBox(3, (0, 0, 10, 5))), {"a": [[SliceBox(3, SQUARE)]]}
    assert sensitivity(half, *truth["a"]) == [0]
    lenient = match_cross_sections({"a": [half]}, truth, is_strict=False)
    assert lenient.curve().sensitivity.tolist() == [1]
    assert lenient.rule == "any cross-section IoU ≥ 0.5"


def test_a_finding_may_be_right_about_two_lesions_on_two_slices() -> None:
    both = finding(SliceBox(3, SQUARE), SliceBox(4, (50, 50, 60, 60)))
    assert sensitivity(both, [SliceBox(3, SQUARE)], [SliceBox(4, (50, 50, 60, 60))]) == [1]


@given(evaluations())
def test_the_truth_finds_all_of_itself(case: tuple[Volumes, Volumes]) -> None:
    truths = {
        name: [slices_of_box((a, b, c, d, e, f)) for a, b, c, d, e, f in rows.tolist()]
        for name, rows in half_open(case[1]).items()
    }
    findings = {name: [finding(*slices) for slices in lesions] for name, lesions in truths.items()}
    curve = match_cross_sections(findings, truths).curve()
    if curve.lesions:
        assert curve.sensitivity_at((0, 1)).tolist() == [1, 1]
        assert curve.false_positives_per_volume[-1] == 0


def test_without_lesions_or_findings_the_counts_stay() -> None:
    curve = match_cross_sections({"a": [finding(SliceBox(3, SQUARE))]}, {"a": [], "b": [[SliceBox(0, SQUARE)]]}).curve()
    assert curve.false_positives_per_volume.tolist() == [0.5]
    assert curve.sensitivity.tolist() == [0]


def test_what_cannot_be_compared_is_refused() -> None:
    truth = {"a": [[SliceBox(3, SQUARE)]]}
    with pytest.raises(BoxError, match="of a has no cross-section"):
        match_cross_sections({"a": [finding()]}, truth)
    with pytest.raises(BoxError, match="no number as its score"):
        match_cross_sections({"a": [finding(SliceBox(3, SQUARE), score=float("nan"))]}, truth)
    with pytest.raises(BoxError, match="no extent"):
        match_cross_sections({}, {"a": [[SliceBox(3, (0, 0, 0, 5))]]})
    with pytest.raises(BoxError, match="first is b"):
        match_cross_sections({"b": []}, truth)
