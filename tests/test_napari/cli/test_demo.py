"""The parts of the demo that need no window."""

import json
from pathlib import Path

import pytest

from lens_engine.errors import ProjectError
from lens_engine.evaluation.report import MeasuredValue
from lens_engine.findings import Split
from lens_engine.jobs.results import EvaluateResult
from lens_engine.phantom.patient import GENERATOR_VERSION
from lens_napari.demo.demo_project import build_demo_project
from lens_napari.demo.report import DemoReport


def test_demo_leaves_a_folder_of_somebody_else_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(ProjectError, match="neither empty nor an earlier demo"):
        build_demo_project(tmp_path, 1, lambda _: None)
    assert (tmp_path / "thesis.txt").read_text() == "important"


def test_report_names_the_generator_of_its_patients(tmp_path: Path) -> None:
    page = DemoReport("Demo model.").save(tmp_path)
    assert f"generator version {GENERATOR_VERSION}" in page.read_text()
    assert json.loads((tmp_path / "report.json").read_text())["generator_version"] == GENERATOR_VERSION


def test_report_shows_every_arm_with_its_interval() -> None:
    before = MeasuredValue(value=0.4, low=0.3, high=0.5, level=0.95)
    after = MeasuredValue(value=0.5, low=0.4, high=0.6, level=0.95)
    change = MeasuredValue(value=0.1, low=-0.02, high=0.2, level=0.95)
    report = DemoReport("Demo model.", arms={"v1": "before", "v2": "decisions"}, training_steps=100)
    report.evaluation = EvaluateResult(
        measurable=True,
        split=Split.TEST,
        series=8,
        patients=8,
        lesions=40,
        average_sensitivity={"v1": {"IoBB": before, "IoU": before}, "v2": {"IoBB": after, "IoU": after}},
        difference={"v2": {"IoBB": change, "IoU": change}},
    )
    text = report.as_text()
    assert "| v2 | decisions | 50.0 (40.0 to 60.0) | 50.0 (40.0 to 60.0) | 10.0 (-2.0 to 20.0) |" in text
    assert text.count("40.0 (30.0 to 50.0)") == 2


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [(0.01, 0.2, "Better with decisions"), (-0.2, -0.01, "Worse with decisions"), (-0.02, 0.2, "No change can be")],
)
def test_report_claims_no_more_than_its_interval_does(low: float, high: float, told: str) -> None:
    average = MeasuredValue(value=0.4, low=0.3, high=0.5, level=0.95)
    change = MeasuredValue(value=(low + high) / 2, low=low, high=high, level=0.95)
    report = DemoReport("Demo model.", arms={"v1": "before", "v2": "decisions"}, training_steps=100)
    report.evaluation = EvaluateResult(
        measurable=True,
        split=Split.TEST,
        average_sensitivity={name: {"IoBB": average, "IoU": average} for name in ("v1", "v2")},
        difference={"v2": {"IoBB": change, "IoU": change}},
    )
    assert told in report.as_text()
