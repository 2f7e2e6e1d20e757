"""The report of an evaluation: companions always there, everything from the same matches, readable as JSON and text."""

import gc
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest

from lens_engine.boxes import Overlap
from lens_engine.errors import BoxError
from lens_engine.evaluation.bootstrap import Interval
from lens_engine.evaluation.froc import FrocCurve, match, prediction_rows
from lens_engine.evaluation.report import (
    CURVE_POINTS,
    CurvePoints,
    EvaluationReport,
    EvaluationSettings,
    MeasuredValue,
    evaluate_findings,
)
from lens_engine.evaluation.report_text import report_text
from lens_engine.evaluation.strata import Dimension
from lens_engine.evaluation.truth import CaseTruth
from lens_engine.findings import FUSED, Box3D, Finding, SliceBox, slices_of_box

QUICK = EvaluationSettings(rounds=50)
LUNG: Box3D = (10, 10, 2, 30, 30, 6)
LIVER: Box3D = (60, 60, 4, 80, 80, 9)
NOWHERE: Box3D = (200, 200, 0, 220, 220, 3)


def finding(expert: str, box: Box3D, score: float) -> Finding:
    return Finding(expert, box, slices_of_box(box), score)


TRUTHS = {
    "one": CaseTruth(
        "p", np.asarray([LUNG, LIVER]), lesion_types=("lung", "liver"), diameters_mm=(8.0, None), organs=("chest", None)
    ),
    "two": CaseTruth("q", np.asarray([LUNG]), lesion_types=("lung",)),
    "empty": CaseTruth("q", np.zeros((0, 6))),
}
FINDINGS = {
    "one": [finding(FUSED, LUNG, 0.9), finding(FUSED, LIVER, 0.8), finding("lung", LUNG, 0.7)],
    "two": [finding(FUSED, (14, 14, 3, 20, 20, 4), 0.6), finding("lung", NOWHERE, 0.5)],
    "empty": [finding(FUSED, NOWHERE, 0.7)],
}


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    return evaluate_findings(FINDINGS, TRUTHS, ["lung", "liver"], QUICK)


def test_every_expert_and_the_fusion_are_measured(report: EvaluationReport) -> None:
    assert [output.output for output in report.outputs] == ["lung", "liver", FUSED]
    assert (report.volumes, report.patients, report.lesions) == (3, 2, 3)
    assert report.output("liver").rules[0].average.value == 0
    assert report.output("lung").rules[0].sensitivities[-1] == pytest.approx(1 / 3)


def test_the_official_average_has_its_companions(report: EvaluationReport) -> None:
    rules = {part.rule: part.sensitivities[-1] for part in report.output().rules}
    assert list(rules) == ["3D IoBB ≥ 0.3", "3D IoU ≥ 0.3", "3D IoBBGT ≥ 0.3", "any cross-section IoU > 0.5"]
    assert list(rules.values()) == [1, pytest.approx(2 / 3), 1, pytest.approx(2 / 3)]  # the small box fits by IoBB only


def test_the_numbers_are_those_of_the_curve(report: EvaluationReport) -> None:
    rows = {name: prediction_rows(found, FUSED) for name, found in FINDINGS.items()}
    curve = match(rows, {name: truth.boxes for name, truth in TRUTHS.items()}).curve()
    official = report.output().rules[0]
    assert list(official.sensitivities) == curve.sensitivity_at().tolist()
    assert official.average.value == curve.average_sensitivity
    assert official.average.low is not None
    assert official.average.high is not None
    assert official.average.low <= curve.average_sensitivity <= official.average.high


def test_strata_are_told_where_something_is_known(report: EvaluationReport) -> None:
    strata = {
        dimension: [(part.name, part.lesions) for part in parts] for dimension, parts in report.output().strata.items()
    }
    assert strata == {
        Dimension.TYPE: [("liver", 1), ("lung", 2)],
        Dimension.ORGAN: [("chest", 1), ("not stated", 2)],
        Dimension.SIZE: [("< 10 mm", 1), ("not stated", 2)],
    }
    plain = evaluate_findings({}, {"a": CaseTruth("p", np.asarray([LUNG]))}, [], QUICK)
    assert plain.output().strata == {}


def test_sweeps_lie_around_the_reported_rule(report: EvaluationReport) -> None:
    output = report.output()
    at_rule = next(row for row in output.overlaps if row.threshold == 0.3)
    assert at_rule.average[Overlap.IOBB] == output.rules[0].average.value
    assert at_rule.average[Overlap.IOU] == output.rules[1].average.value
    assert [row.threshold for row in output.at_rates] == [0.8, 0.8, 0.6, 0.6, 0.6, 0.6, 0.6]
    assert next(row for row in output.at_scores if row.threshold == 0.7).false_positives_per_volume == pytest.approx(
        1 / 3
    )


def test_a_report_survives_json(report: EvaluationReport) -> None:
    assert EvaluationReport.model_validate_json(report.model_dump_json()) == report


def test_the_same_evaluation_gives_the_same_report(report: EvaluationReport) -> None:
    assert evaluate_findings(FINDINGS, TRUTHS, ["lung", "liver"], QUICK) == report


def test_without_lesions_all_sensitivities_are_null() -> None:
    empty = evaluate_findings({"a": [finding(FUSED, LUNG, 0.9)]}, {"a": CaseTruth("p", np.zeros((0, 6)))}, [], QUICK)
    output = empty.output()
    assert output.rules[0].sensitivities == (None,) * 7
    assert output.rules[0].average == MeasuredValue(value=None, low=None, high=None, level=0.95)
    assert output.curve == CurvePoints(false_positives=(), sensitivity=())
    assert "–" in report_text(empty)
    assert EvaluationReport.model_validate_json(empty.model_dump_json()) == empty


def test_given_cross_sections_are_used_and_not_the_box() -> None:
    small = tuple(SliceBox(index, (10, 10, 14, 14)) for index in range(2, 6))
    report = evaluate_findings(
        {"a": [finding(FUSED, LUNG, 0.9)]}, {"a": CaseTruth("p", np.asarray([LUNG]), sections=(small,))}, [], QUICK
    )
    assert [part.sensitivities[-1] for part in report.output().rules] == [1, 1, 1, 0]


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(BoxError, match="findings of bone"):
        evaluate_findings({"one": [finding("bone", LUNG, 0.5)]}, TRUTHS, ["lung"], QUICK)
    with pytest.raises(BoxError, match="first is three"):
        evaluate_findings({"three": []}, TRUTHS, ["lung"], QUICK)
    with pytest.raises(BoxError, match="1 lesions and 2 lesion_types"):
        CaseTruth("p", np.asarray([LUNG]), lesion_types=("lung", "liver"))


def test_a_curve_is_thinned_and_ends_where_pictures_do() -> None:
    rates = np.arange(20_000) / 1000
    points = CurvePoints.of(FrocCurve(rates, rates / 20, rates[::-1], 1, 1, ""))
    assert len(points.sensitivity) == CURVE_POINTS
    assert (points.false_positives[0], points.false_positives[-1]) == (0, 16)


@pytest.mark.parametrize("lesions", [0, 10])
def test_a_thinned_curve_can_be_drawn_again(lesions: int) -> None:
    rates = np.arange(17, dtype=np.float64)
    curve = FrocCurve(rates, np.linspace(0, 1, 17) if lesions else np.full(17, np.nan), rates[::-1], 4, lesions, "3D")
    again = CurvePoints.of(curve).as_curve(4, lesions, "3D")
    assert again.sensitivity_at() == pytest.approx(curve.sensitivity_at(), abs=1e-3, nan_ok=True)


def test_measured_values_are_written_in_percent() -> None:
    assert MeasuredValue.of(Interval(0.476, 0.46, 0.4912, 0.95)).in_percent == "47.6 (46.0 to 49.1)"
    unknown = MeasuredValue.of(Interval(float("nan"), float("nan"), float("nan"), 0.95))
    assert unknown.in_percent == ""
    assert np.isnan([unknown.interval.value, unknown.interval.low, unknown.interval.high]).all()


def cells(text: str, start: str) -> Sequence[str]:
    return next(line for line in text.splitlines() if line.startswith(start)).removeprefix(start).split()


def test_the_text_has_the_columns_of_the_papers(report: EvaluationReport) -> None:
    text = report_text(report)
    assert text.startswith("3 volumes of 2 patients, 3 lesions.")
    assert cells(text, "fused: rule") == ["lesions", ".125", ".25", ".5", "1", "2", "4", "8", "avg"]
    fused = text[text.index("fused: rule") :]
    assert cells(fused, "3D IoU ≥ 0.3")[:9] == ["3", *["66.7"] * 8]
    assert cells(fused, "liver")[:9] == ["1", *["100.0"] * 8]
    assert cells(fused, "fused: overlap needed") == ["IoBB", "IoU", "IoBBGT"]
    assert cells(fused, "0.6") == ["90.5", "66.7", "90.5"]  # the third lesion comes after a false positive


class FromFiles(Mapping[str, Sequence[Finding]]):
    """Makes the findings of a case whenever they are asked for, and counts how many are in memory then."""

    def __init__(self, cases: int, findings: int) -> None:
        self._cases, self._findings = cases, findings
        self.asked: list[str] = []
        self.most_alive = 0

    def __getitem__(self, case: str) -> Sequence[Finding]:
        self.asked.append(case)
        self.most_alive = max(self.most_alive, sum(isinstance(item, Finding) for item in gc.get_objects()))
        return [finding(FUSED, LUNG, 0.9 - number / 100) for number in range(self._findings)]

    def __iter__(self) -> Iterator[str]:
        return iter([f"case {number}" for number in range(self._cases)])

    def __len__(self) -> int:
        return self._cases


@pytest.mark.parametrize("cases", [3, 12])
def test_findings_are_asked_for_once_and_those_of_one_case_are_in_memory_at_a_time(cases: int) -> None:
    before = sum(isinstance(item, Finding) for item in gc.get_objects())
    findings = FromFiles(cases, 10)
    truths = {name: CaseTruth(name, np.asarray([LUNG])) for name in findings}
    measured = evaluate_findings(findings, truths, ["lung"], EvaluationSettings(rounds=2, overlap_thresholds=(0.3,)))
    assert measured.output(FUSED).rules[0].average.value == 1
    assert findings.asked == list(findings)
    assert findings.most_alive - before == 10
