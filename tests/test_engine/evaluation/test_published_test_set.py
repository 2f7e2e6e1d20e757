"""Every protocol on the published, completely annotated sub-volumes (algorithms 1.5)."""

from pathlib import Path

import numpy as np
import pytest
from support.measures.froc_cases import Boxes, half_open, literal_froc

from lens_engine.boxes import Overlap, from_inclusive
from lens_engine.evaluation.froc import match
from lens_engine.evaluation.report import EvaluationSettings, evaluate_findings
from lens_engine.evaluation.single_slices import match_single_slices
from lens_engine.evaluation.truth import CaseTruth
from lens_engine.findings import FUSED, Finding
from lens_engine.io.annotations.manual_test_set import boxes_from_rows, read_pickle, sub_volume_name

Parts = dict[str, dict[str, Boxes]]


@pytest.fixture(scope="module")
def manual_test_set(real_data: Path) -> Parts:
    parts: Parts = {}
    for sub_volume in read_pickle(real_data / "deeplesion_manual" / "DeepLesion_manual_1K_test_release.pkl"):
        parts.setdefault(sub_volume.part.value, {})[sub_volume.name] = sub_volume.rows
    return parts


@pytest.mark.real_data
def test_the_published_test_set_has_the_published_counts(manual_test_set: Parts) -> None:
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
def test_the_published_truth_as_prediction_finds_all(manual_test_set: Parts, overlap: Overlap) -> None:
    truths = {name: from_inclusive(boxes) for part in manual_test_set.values() for name, boxes in part.items()}
    predictions = {name: np.column_stack([boxes, np.ones(len(boxes))]) for name, boxes in truths.items()}
    curve = match(predictions, truths, overlap).curve()
    assert curve.sensitivity_at().tolist() == [1.0] * 7
    assert curve.false_positives_per_volume[-1] == 0
    assert (curve.volumes, curve.lesions) == (1000, 5447)


@pytest.mark.real_data
def test_centre_voxels_satisfy_iobb_and_not_iou(manual_test_set: Parts) -> None:
    truths = {name: from_inclusive(boxes) for name, boxes in manual_test_set["test"].items()}
    predictions = {}
    for name, boxes in truths.items():
        centre = np.floor((boxes[:, :3] + boxes[:, 3:]) / 2)
        predictions[name] = np.column_stack([centre, centre + 1, np.ones(len(boxes))])
    assert match(predictions, truths, Overlap.IOBB).curve().average_sensitivity == 1.0
    assert match(predictions, truths, Overlap.IOBBGT).curve().average_sensitivity == 1.0
    assert match(predictions, truths, Overlap.IOU).curve().average_sensitivity == 0.0


@pytest.mark.real_data
def test_shifted_truth_scores_the_same_as_by_the_literal_rules(manual_test_set: Parts) -> None:
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
        curve = match(half_open(predictions), half_open(truths), overlap).curve()
        assert curve.sensitivity.tolist() == sensitivities
        assert curve.false_positives_per_volume.tolist() == rates


@pytest.mark.real_data
def test_the_truth_as_findings_is_perfect_by_every_rule_of_the_report(manual_test_set: Parts) -> None:
    truths, findings = {}, {}
    for name, rows in manual_test_set["test"].items():
        given = sub_volume_name(name)
        truth = CaseTruth(str(given.patient), boxes_from_rows(rows, given.first_slice or 0))
        truths[name] = truth
        findings[name] = [
            Finding(FUSED, (x1, y1, z1, x2, y2, z2), sections, 1.0)
            for (x1, y1, z1, x2, y2, z2), sections in zip(truth.boxes.tolist(), truth.known_sections, strict=True)
        ]
    report = evaluate_findings(findings, truths, [], EvaluationSettings(rounds=20, overlap_thresholds=(0.3, 1.0)))
    assert (report.volumes, report.patients, report.lesions) == (800, 519, 4155)
    for part in report.output().rules:
        assert part.sensitivities == (1.0,) * 7
        assert (part.average.low, part.average.high) == (1, 1)
    assert all(set(row.average.values()) == {1.0} for row in report.output().overlaps)
    assert report.output().at_rates[0].false_positives_per_volume == 0


@pytest.mark.real_data
@pytest.mark.parametrize("overlap", Overlap)
def test_the_complete_truth_finds_its_own_middle_slices(manual_test_set: Parts, overlap: Overlap) -> None:
    truths, predictions = {}, {}
    for name, rows in manual_test_set["val"].items():
        boxes = from_inclusive(rows)
        middle = np.floor((boxes[:, 2] + boxes[:, 5]) / 2)
        truths[name] = np.column_stack([boxes[:, :2], middle, boxes[:, 3:5], middle + 1])
        predictions[name] = np.column_stack([boxes, np.ones(len(boxes))])
    curve = match_single_slices(predictions, truths, overlap).curve()
    assert curve.sensitivity_at().tolist() == [1.0] * 7
    assert (curve.volumes, curve.lesions) == (200, 1292)
