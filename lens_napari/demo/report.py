"""What the journey of the demo found, as values, as JSON and as a page of text."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lens_engine.jobs.results import EvaluateResult
from lens_engine.phantom.patient import GENERATOR_VERSION


@dataclass
class DemoReport:
    """Filled step by step; every number comes from the run that wrote it.

    Attributes
    ----------
    arms
        What each model version learned from, by version; the first is the model before retraining.
    """

    notice: str
    generator_version: int = GENERATOR_VERSION
    series: dict[str, int] = field(default_factory=dict)
    lesions: int = 0
    labelled_lesions: int = 0
    boxes_by_expert: dict[str, int] = field(default_factory=dict)
    findings_by_expert: dict[str, int] = field(default_factory=dict)
    candidates: int = 0
    candidates_by_reason: dict[str, int] = field(default_factory=dict)
    distance_limit_note: str = ""
    threshold_note: str = ""
    decisions: dict[str, int] = field(default_factory=dict)
    candidates_left: int = 0
    arms: dict[str, str] = field(default_factory=dict)
    training_steps: int = 0
    evaluation: EvaluateResult | None = None
    exports: list[str] = field(default_factory=list)
    screenshots: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def save(self, folder: Path) -> Path:
        """Write `report.json` and `report.md` and return the latter."""
        values = asdict(self) | {"evaluation": self.evaluation.model_dump(mode="json") if self.evaluation else None}
        (folder / "report.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
        page = folder / "report.md"
        page.write_text(self.as_text(), encoding="utf-8")
        return page

    def as_text(self) -> str:
        """Return the report as Markdown."""
        parts = [
            "# LENS-napari demo\n",
            f"> {self.notice}\n",
            f"All patients are synthetic phantoms (generator version {self.generator_version}); the test patients were "
            "seen by no training and no tuning. "
            "The reader was simulated: it knows the truth and pressed the keys in the real window.\n",
            "## Scans\n\n" + _table(("data set and split", "series"), self.series),
            f"{self.lesions} lesions, {self.labelled_lesions} of them labelled in the annotations.\n",
            "## Detection\n\n" + _detections(self.boxes_by_expert, self.findings_by_expert),
            "## Mining\n\n" + _table(("reason", "candidates"), self.candidates_by_reason),
            f"{self.candidates} candidates; one may have several reasons. {self.distance_limit_note}\n",
            f"{self.threshold_note}\n",
            "## Review\n\n" + _table(("verdict", "lesions"), self.decisions),
            f"{self.candidates_left} candidates were left open.\n",
            "## Retraining\n\n" + self._arms(),
            "## Exports\n\n" + _list(self.exports),
            "## Screenshots\n\n" + _list(self.screenshots),
            "## Seconds\n\n"
            + _table(("step", "seconds"), {name: f"{value:.0f}" for name, value in self.seconds.items()}),
        ]
        return "\n".join(parts)

    def _arms(self) -> str:
        if self.evaluation is None or not self.evaluation.measurable:
            return f"Not measurable: {self.evaluation.what_to_do if self.evaluation else 'no evaluation ran'}\n"
        result = self.evaluation
        rows = [
            "| model | learned from | IoBB ≥ 0.3 | IoU ≥ 0.3 | change in IoBB | change in IoU |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for version, labels in self.arms.items():
            average = result.average_sensitivity[version]
            change = result.difference.get(version, {})
            cells = [average["IoBB"].in_percent, average["IoU"].in_percent]
            cells += [change[rule].in_percent if rule in change else "" for rule in ("IoBB", "IoU")]
            rows.append(f"| {version} | {labels} | " + " | ".join(cells) + " |")
        return (
            "Average sensitivity (%) of the fused findings at 1/8 to 8 false positives per volume, with 95 % intervals "
            f"from a bootstrap over the {result.patients} test patients ({result.series} series, {result.lesions} "
            f"lesions). Each arm started from the same checkpoint and took {self.training_steps} steps. Changes are "
            "against the first row, paired over patients.\n\n" + "\n".join(rows) + f"\n\n{self._verdict(result)}\n"
        )

    def _verdict(self, result: EvaluateResult) -> str:
        """Say whether this small run shows that the last arm, with decisions, is better than the first model."""
        version = list(self.arms)[-1]
        gain = result.difference.get(version, {}).get("IoBB")
        if gain is None or gain.low is None or gain.high is None:
            return "Whether decisions made the model better cannot be told here."
        told = f"{version} against {next(iter(self.arms))}, IoBB: {gain.in_percent} points"
        if gain.low > 0:
            return f"Better with decisions: {told}; the whole interval lies above zero."
        if gain.high < 0:
            return f"Worse with decisions: {told}; the whole interval lies below zero."
        return (
            f"No change can be claimed from so few patients: {told}; the interval holds zero. docs/the-loop.md has the "
            "same experiment with enough of them."
        )


def _detections(boxes: Mapping[str, int], findings: Mapping[str, int]) -> str:
    rows = ["| expert | 2D boxes | 3D findings |", "| --- | --- | --- |"]
    rows += [f"| {expert} | {count} | {findings.get(expert, 0)} |" for expert, count in boxes.items()]
    return "\n".join(rows) + "\n"


def _table(head: tuple[str, str], values: Mapping[str, object]) -> str:
    rows = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    rows += [f"| {name} | {value} |" for name, value in values.items()]
    return "\n".join(rows) + "\n"


def _list(items: list[str]) -> str:
    return "".join(f"- {item}\n" for item in items)
