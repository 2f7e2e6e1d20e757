"""The predictions of a run in the form that the official evaluation script of the manual test set reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import ConfigError
from lens_engine.evaluation.froc import prediction_rows
from lens_engine.findings import FUSED
from lens_engine.io.annotations.imported import TestSetPart
from lens_engine.io.annotations.manual_test_set import write_predictions
from lens_training.datasets.case import Case
from lens_training.recipes.recipe import MeasuredPart
from lens_training.reproduction.case_detections import DetectionFiles
from lens_training.reproduction.data import MeasuredGroup, RecipeData
from lens_training.reproduction.detector_stage import RecipeRun
from lens_training.reproduction.measuring.measurer import FPR_ALONE, WITH_FPR
from lens_training.reproduction.measuring.part import prediction_files


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes
    ----------
    left_out
        Sub-volumes that the data set lacks: the script counts them, and they are without a box.
    """

    path: Path
    sub_volumes: int
    boxes: int
    left_out: int


def export_predictions(run: RecipeRun, data: RecipeData, part: MeasuredPart, output: str, path: Path) -> Exported:
    """Write the findings of one output on every sub-volume of a part of the manual test set.

    Parameters
    ----------
    output
        An expert, `FUSED`, or an output of false-positive reduction.

    Raises
    ------
    ConfigError
        If the run is of phantoms, has no such part or output, or has not looked at all of it with its weights.
    ExportError
        If the file cannot be written; an older one is unchanged.
    """
    group = _manual_group(run, data, part)
    files = prediction_files(run, group)
    _check_complete(run, group, files, part)
    _check_output(run, group.cases, files, output)
    rows: dict[str, NDArray[np.float64]] = {name: np.zeros((0, 7)) for name in group.published_names}
    rows |= {case.name: prediction_rows(files.read_findings(case), output) for case in group.cases}
    write_predictions(path, TestSetPart(part.value), rows)
    boxes = sum(len(found) for found in rows.values())
    return Exported(path, len(rows), boxes, len(rows) - len(group.cases))


def _manual_group(run: RecipeRun, data: RecipeData, part: MeasuredPart) -> MeasuredGroup:
    complete = [group for group in data.groups if group.part is part and group.cases and group.published_names]
    if not complete:
        raise ConfigError(
            f"The run in {run.folder} has no predictions on the manual test set of DeepLesion, part {part}",
            "The official script evaluates its sub-volumes",
            "Run a recipe on data that hold it",
        )
    return complete[0]


def _check_complete(run: RecipeRun, group: MeasuredGroup, files: DetectionFiles, part: MeasuredPart) -> None:
    missing = [case for case in group.cases if not files.has(case)]
    if missing:
        others = sum(files.holds_others(case) for case in missing)
        known = f", {others} of them only of other weights or other settings" if others else ""
        raise ConfigError(
            f"{len(missing)} of {len(group.cases)} sub-volumes have no predictions{known}: {missing[0].name} ...",
            f"Those of the weights in {run.folder}, at {run.inference.precision}",
            f"Make them first: lens recipe measure {run.folder} --part {part}",
        )


def _check_output(run: RecipeRun, cases: Sequence[Case], files: DetectionFiles, output: str) -> None:
    known = set(files.read(cases[0]).proposals.experts) | {FUSED}
    if run.recipe.false_positive_reduction is not None:
        known |= {WITH_FPR, FPR_ALONE}
    if output not in known:
        raise ConfigError(
            f"The run in {run.folder} has no output {output!r}",
            f"One of {', '.join(sorted(known))}",
            "Correct --output",
        )
