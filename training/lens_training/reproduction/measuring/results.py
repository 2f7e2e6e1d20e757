"""What a recipe's model finds, as numbers beside the published ones, tables for people, and pictures."""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lens_engine.boxes import Overlap
from lens_engine.checkpoint_card import TrainedOn
from lens_engine.evaluation.froc import FALSE_POSITIVE_RATES, HIT_THRESHOLD, match, prediction_rows
from lens_engine.evaluation.froc_figure import figure
from lens_engine.evaluation.key_slices import (
    MULAN_RATES,
    WANG_RATES,
    boxes_on_slice,
    image_name,
    match_key_slices,
    truth_of_key_slices,
)
from lens_engine.evaluation.luna16 import candidates_of, evaluate_luna16
from lens_engine.evaluation.outcomes import instructive_places, outcomes_of
from lens_engine.evaluation.overlay_figure import overlay_figure
from lens_engine.evaluation.report import RULES, EvaluationReport, MeasuredValue, evaluate_findings
from lens_engine.evaluation.report_text import report_text
from lens_engine.evaluation.single_slices import match_single_slices
from lens_engine.findings import FUSED, Finding
from lens_engine.io.atomic_files import write_bytes_atomically, write_text_atomically
from lens_training.datasets.published.luna16 import Mark
from lens_training.recipes.mining import ROUND_NAMES
from lens_training.recipes.recipe import EvaluatedOutput, MeasuredPart, PublishedRow, Recipe
from lens_training.reproduction.case_detections import DetectionFiles
from lens_training.reproduction.data import MeasuredGroup, RecipeData
from lens_training.reproduction.measuring.measurer import FPR_ALONE, WITH_FPR, Measurer, key_sections, truth_of
from lens_training.reproduction.measuring.predictions import FindingsOfCases
from lens_training.reproduction.mined_labels import MiningReport
from lens_training.running.stopping import StopSignal

RESULTS_FILE = "results.json"
TABLES_FILE = "results.txt"
CURVE_FILE = "froc.png"
OVERLAYS_FOLDER = "overlays"
OVERLAID_CASES = 6
PLACES_PER_CASE = 6
DRAWN_FALSE_POSITIVES = 1.0
"""Pictures show what a reader would see at this many false positives per volume."""

_NAME_WIDTH = 40
TOLD_RULES = (Overlap.IOBB, Overlap.IOU)
"""Matching rules that the card of a checkpoint tells."""


class RecipeResults(BaseModel):
    """What is told of everything that was measured.

    Attributes
    ----------
    metrics
        For the card of the checkpoint.
    text
        A short table for people; the long ones are in `TABLES_FILE`.
    average
        Average sensitivity of the output that is compared with the published row, by the published rule; None where
        nothing was measured in 3D.
    mined
        What each round of mining gave.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: Mapping[str, float]
    text: str
    average: float | None = None
    mined: tuple[MiningReport, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is measured, on what, and where the results go.

    Attributes
    ----------
    folder
        For numbers, tables and pictures.
    predictions
        What was found, for each of the groups of the part by its name; every case of it is there.
    made_from
        Fingerprint of everything that decides the numbers.
    stop
        Ends the measuring between two cases, with nothing written.
    mined
        What each round mined before the training, told with the results.
    test_readings
        How often the run has looked at the test part until now; None of another part.
    """

    recipe: Recipe
    data: RecipeData
    part: MeasuredPart
    folder: Path
    measurer: Measurer
    predictions: Mapping[str, DetectionFiles]
    made_from: str
    stop: StopSignal
    mined: tuple[MiningReport, ...] = ()
    test_readings: int | None = None


@dataclass(frozen=True, slots=True)
class _GroupResult:
    """What was measured on one group."""

    group: MeasuredGroup
    values: Any
    text: str
    report: EvaluationReport | None = None


def measured_results(folder: Path, made_from: str) -> RecipeResults | None:
    """Return what `measure_predictions` found if it ended there and measured the same; None otherwise."""
    try:
        stored = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
        if stored["made from"] != made_from:
            return None
        return RecipeResults.model_validate(stored["told"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # measured anew, as if it were missing


def remove_results(folder: Path) -> None:
    """Remove what `measure_predictions` has written to a folder, if anything; raises `OSError` if the disk refuses."""
    for name in (RESULTS_FILE, TABLES_FILE, CURVE_FILE):  # the one that says that all is done goes first
        (folder / name).unlink(missing_ok=True)
    if (folder / OVERLAYS_FOLDER).is_dir():
        shutil.rmtree(folder / OVERLAYS_FOLDER)


def measure_predictions(subject: Subject) -> RecipeResults:
    """Measure what a model has found, and write numbers, tables and pictures.

    Memory holds the findings of one case at a time; of all others boxes and scores remain, 56 bytes for each finding.

    Raises
    ------
    TrainingError
        If predictions cannot be read.
    TrainingStoppedError
        If the process was asked to end.
    """
    recipe, data, folder = subject.recipe, subject.data, subject.folder
    folder.mkdir(exist_ok=True)
    groups = data.groups_of(subject.part)
    measured = [_measured(group, subject, folder if group is groups[0] else None) for group in groups]
    output = _compared_output(recipe, groups[0], subject.measurer)
    tables = [f"# {result.group.name}\n\n{result.text}" for result in measured]
    tables += [f"# mining, {name}\n\n{report.text}\n" for name, report in zip(ROUND_NAMES, subject.mined, strict=False)]
    write_text_atomically(folder / TABLES_FILE, "\n\n".join([*tables, *_readings(subject.test_readings)]))
    first = measured[0].report
    text = measured[0].text if first is None else _comparison(recipe.row, first, output, data)
    told = [report.text for report in subject.mined]
    lines = [text, *told, *_left_out(data.left_out), *_readings(subject.test_readings)]
    lines.append(f"Everything measured is in {folder}.")
    results = RecipeResults(
        metrics={} if first is None else _metrics(first),
        text="\n".join(lines),
        average=None if first is None else first.output(output).rules[0].average.value,
        mined=subject.mined,
    )
    values = {
        "made from": subject.made_from,
        "recipe": recipe.name,
        "part": subject.part,
        "times the test part was read": subject.test_readings,
        "output": output,
        "published": None if recipe.row is None else recipe.row.model_dump(mode="json"),
        "left out": data.left_out,
        "mining": subject.mined[-1].model_dump(mode="json") if subject.mined else None,
        "groups": {result.group.name: result.values for result in measured},
        "told": results.model_dump(mode="json"),
    }
    write_text_atomically(folder / RESULTS_FILE, json.dumps(values, indent=1) + "\n")  # last: it says that all is done
    return results


def _readings(count: int | None) -> list[str]:
    """Return how often the test part was read, as a line."""
    if count is None:
        return []
    if count == 1:
        return ["The test part was read once by this run."]
    return [f"The test part was read {count} times by this run, with other weights or settings: choose by --part val."]


def _left_out(left_out: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a line for everything that was neither learnt from nor measured."""
    return [
        f"left out of {name}: {count} x {reason}"
        for name, reasons in left_out.items()
        for reason, count in reasons.items()
    ]


def _compared_output(recipe: Recipe, first: MeasuredGroup, measurer: Measurer) -> str:
    """Return whose findings stand beside the published row; without a universal data set that of the first group."""
    match recipe.evaluation.output:
        case EvaluatedOutput.UNIVERSAL:
            return measurer.experts[0]
        case EvaluatedOutput.WITH_FPR:
            return WITH_FPR
        case EvaluatedOutput.FPR_ALONE:
            return FPR_ALONE
        case EvaluatedOutput.FUSED:
            return first.expert or FUSED


def _measured(group: MeasuredGroup, subject: Subject, pictures: Path | None) -> _GroupResult:
    measurer, files = subject.measurer, subject.predictions[group.name]
    if group.is_key_slices:
        return _on_key_slices(group, measurer, files, subject.stop)
    if group.is_around_key_slices:
        return _around_key_slices(group, measurer, files, subject.stop)
    outputs = measurer.outputs if group.expert is None else (group.expert,)
    kept = {*outputs, FUSED} if group.expert is None else {group.expert}
    findings = FindingsOfCases(group.cases, files, frozenset(kept), subject.stop)
    truths = {case.name: truth_of(case) for case in group.cases}
    report = evaluate_findings(findings, truths, outputs)
    shown = report.model_copy(update={"outputs": tuple(item for item in report.outputs if item.output in kept)})
    if pictures is not None:
        _draw(group, findings, shown, pictures)
    values, text = shown.model_dump(mode="json"), report_text(shown)
    if group.nodules and group.expert is not None:
        protocol, lines = _luna16(group, findings, group.expert)
        values, text = values | {"LUNA16 protocol": protocol}, f"{text}\n{lines}"
    return _GroupResult(group, values, text, shown)


def _on_key_slices(group: MeasuredGroup, measurer: Measurer, files: DetectionFiles, stop: StopSignal) -> _GroupResult:
    """Measure the boxes on the key slices themselves (algorithms 9.2)."""
    drawn = {case.name: key_sections(case) for case in group.cases}
    truth = truth_of_key_slices(drawn)
    boxes: dict[str, dict[str, NDArray[np.float64]]] = {name: {} for name in (*measurer.experts, FUSED)}
    for case in group.cases:
        stop.check()
        proposals = files.read(case).proposals
        for index in case.key_slices:
            for output, found in boxes.items():
                found[image_name(case.name, index)] = boxes_on_slice(proposals, output, index)
    values, lines = {}, [f"{len(truth)} key slices; sensitivity in % at false positives per image"]
    heads = "".join(f"{rate:>7g}" for rate in MULAN_RATES.reported)
    lines.append(f"{'':32}{heads}    avg of the first four    avg of the first five, IoU > 0.5 (Wang)")
    for output, found in boxes.items():
        curve, strict = match_key_slices(found, truth).curve(), match_key_slices(found, truth, is_strict=True).curve()
        shares = curve.sensitivity_at(MULAN_RATES.reported).tolist()
        average, wang = MULAN_RATES.average(curve), WANG_RATES.average(strict)
        values[output] = {
            **{"rates": MULAN_RATES.reported, "sensitivities": shares, "average": average},
            "Wang": {
                **{"rates": WANG_RATES.reported, "average": wang},
                "sensitivities": strict.sensitivity_at(WANG_RATES.reported).tolist(),
            },
        }
        cells = "".join(f"{100 * value:7.1f}" for value in shares)
        lines.append(f"{output:32}{cells}{100 * average:>25.1f}{100 * wang:>43.1f}")
    return _GroupResult(group, values, "\n".join(lines) + "\n")


def _around_key_slices(
    group: MeasuredGroup, measurer: Measurer, files: DetectionFiles, stop: StopSignal
) -> _GroupResult:
    """Measure the 3D boxes that cover key slices (algorithms 9.3)."""
    truth = {case.name: case.truth for case in group.cases}
    outputs = (*measurer.experts, FUSED)
    rows: dict[str, dict[str, NDArray[np.float64]]] = {output: {} for output in outputs}
    for name, findings in FindingsOfCases(group.cases, files, frozenset(outputs), stop).items():
        for output, found in rows.items():
            found[name] = prediction_rows(findings, output)
    values, lines = {}, [f"{len(truth)} sub-volumes; average sensitivity in % at 1/8 to 8 false positives per volume"]
    for output, found in rows.items():
        curve = match_single_slices(found, truth).curve()
        values[output] = {"P3D average per volume": curve.average_sensitivity}
        lines.append(f"{output + ', ' + curve.rule:32}{100 * curve.average_sensitivity:7.1f}")
    return _GroupResult(group, values, "\n".join(lines) + "\n")


def _luna16(group: MeasuredGroup, findings: Mapping[str, Sequence[Finding]], expert: str) -> tuple[Any, str]:
    """Return the competition performance metric of one expert, as values and as a line."""
    candidates = {case.name: candidates_of(findings[case.name], expert, case.geometry) for case in group.cases}
    names = tuple(candidates)
    result = evaluate_luna16(
        candidates, _spheres(group.nodules, names), _spheres(group.excluded, names), np.random.default_rng(0)
    )
    values = {
        "metric": MeasuredValue.of(result.metric).model_dump(mode="json"),
        "sensitivities": [MeasuredValue.of(part).model_dump(mode="json") for part in result.sensitivities],
    }
    return values, f"LUNA16 protocol, {expert}: metric {MeasuredValue.of(result.metric).in_percent}\n"


def _spheres(marks: Sequence[Mark], names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return centre and diameter in millimetres of each mark, (n, 4), by scan."""
    rows = {name: [(*mark.centre_mm, mark.diameter_mm) for mark in marks if mark.series_uid == name] for name in names}
    return {name: np.asarray(found, dtype=np.float64).reshape(-1, 4) for name, found in rows.items()}


def _draw(
    group: MeasuredGroup, findings: Mapping[str, Sequence[Finding]], report: EvaluationReport, folder: Path
) -> None:
    """Draw the curves of all outputs, and what the fusion finds and misses in the first cases."""
    rule = report.outputs[0].rules[0].rule
    curves = {item.output: item.curve.as_curve(report.volumes, report.lesions, rule) for item in report.outputs}
    intervals = {output.output: output.rules[0].average.interval for output in report.outputs}
    _save(figure(curves, intervals, title=group.name), folder / CURVE_FILE, dpi=150)
    shown = group.cases[:OVERLAID_CASES]
    truths = {case.name: case.truth for case in shown}
    fused = {case.name: prediction_rows(findings[case.name], FUSED) for case in shown}
    matches = match(fused, truths)
    threshold = _drawn_from(report)
    for case in shown:
        outcomes = outcomes_of(matches, case.name, fused[case.name], truths[case.name], threshold)
        places = instructive_places(outcomes, PLACES_PER_CASE)
        drawing = overlay_figure(case.load(), outcomes, places, title=f"{case.name}, scores from {threshold:.2f}")
        _save(drawing, folder / OVERLAYS_FOLDER / f"{case.name}.png", dpi=110)


def _save(drawing: Figure, path: Path, dpi: int) -> None:
    """Write a picture whole or not at all."""
    content = BytesIO()
    drawing.savefig(content, dpi=dpi)
    write_bytes_atomically(path, content.getvalue())


def _drawn_from(report: EvaluationReport) -> float:
    """Return the lowest score of the fusion that pictures show."""
    of_fusion = [item for item in report.outputs if item.output == FUSED]
    if not of_fusion:
        return math.inf
    threshold = of_fusion[0].at_rates[report.rates.index(DRAWN_FALSE_POSITIVES)].threshold
    return math.inf if threshold is None else threshold


def _comparison(row: PublishedRow | None, report: EvaluationReport, output: str, data: RecipeData) -> str:
    """Return the published row above the measured one, and what false-positive reduction makes of it."""
    rates = "".join(f"{rate:>7g}" for rate in FALSE_POSITIVE_RATES)
    lines = [f"{'sensitivity in % at FP/volume':{_NAME_WIDTH}}{rates}    avg"]
    if row is not None:
        shares = None if row.sensitivity is None else [value / 100 for value in row.sensitivity]
        name = row.table + (", with mining" if row.with_mining else "")
        lines.append(_line(name, shares, None if row.average is None else row.average / 100))
    judged_again = [item for item in report.outputs if item.output in {WITH_FPR, FPR_ALONE} - {output}]
    shown = [(report.output(output), rule) for rule in report.output(output).rules]
    shown += [(item, item.rules[0]) for item in judged_again]
    lines += [_line(f"{item.output}, {rule.name}", rule.sensitivities, rule.average.value) for item, rule in shown]
    if row is not None and data.trained_on is TrainedOn.PHANTOMS:
        lines.append("Phantoms are not patients: these numbers show that the recipe runs, and cannot be compared.")
    return "\n".join(lines)


def _line(name: str, shares: Sequence[float | None] | None, average: float | None) -> str:
    """Return a row of the table, in percent; empty where nothing is known."""
    cells = [*(shares or [None] * len(FALSE_POSITIVE_RATES)), average]
    return f"{name:{_NAME_WIDTH}}" + "".join(f"{'' if c is None else f'{100 * c:.1f}':>7}" for c in cells)


def _metrics(report: EvaluationReport) -> dict[str, float]:
    """Return average sensitivities by output and rule, with the 95 % interval of the fusion, as cards tell them."""
    metrics = {"scans": float(report.volumes), "lesions": float(report.lesions)}
    for output in report.outputs:
        for overlap, rule in zip(RULES, output.rules, strict=False):
            if overlap not in TOLD_RULES or rule.average.value is None:
                continue
            name = f"{output.output} average sensitivity {overlap} {HIT_THRESHOLD}"
            metrics[name] = round(rule.average.value, 4)
            if output.output == FUSED and rule.average.low is not None and rule.average.high is not None:
                metrics[f"{name} low"] = round(rule.average.low, 4)
                metrics[f"{name} high"] = round(rule.average.high, 4)
    return metrics
