"""The evaluation task: FROC of model versions on completely annotated held-out series, by two matching rules.

What is stored with each version (`Models.evaluations`) is one object:

    {"split", "series", "patients", "lesions", "threshold",
     "experts": {NAME or "fused": {"IoBB": CURVE, "IoU": CURVE}},
     "compared_with": VERSION or null, "difference": {"IoBB": INTERVAL, "IoU": INTERVAL}}
    CURVE = {"average_sensitivity": INTERVAL, "sensitivity_at": {"0.125": s, ...}, "points": {"false_positives": [...],
             "sensitivity": [...]}}; INTERVAL = {"value", "low", "high", "level"}

Sensitivities are null where the truth holds no lesion.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import Overlap
from lens_engine.evaluation.bootstrap import bootstrap_interval, paired_difference_interval
from lens_engine.evaluation.froc import FALSE_POSITIVE_RATES, HIT_THRESHOLD, Matches, match, prediction_rows
from lens_engine.evaluation.report import CurvePoints, MeasuredValue
from lens_engine.findings import FUSED, Split
from lens_engine.jobs.results import EvaluateResult
from lens_engine.store.annotations import Annotations
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.store.labels.completeness import said_of, true_boxes
from lens_engine.store.models.model_versions import Models
from lens_engine.worker.messages import EvaluateModels

RULES = (Overlap.IOBB, Overlap.IOU)
SEED = 20180
"""Seed of the bootstrap: the same evaluation gives the same interval."""

logger = logging.getLogger("lens_engine.tasks.evaluation")


@dataclass(frozen=True, slots=True)
class _Truth:
    """The series that are measured on, in one order for everything."""

    series: tuple[SeriesRecord, ...]
    boxes: Mapping[str, NDArray[np.float64]]

    @property
    def patients(self) -> list[str]:
        """The patient of each series."""
        return [series.patient_code for series in self.series]

    @property
    def lesions(self) -> int:
        """Number of true boxes."""
        return sum(len(boxes) for boxes in self.boxes.values())


def evaluate_models(database: Database, task: EvaluateModels, report: Callable[[int, int], None]) -> EvaluateResult:
    """Measure every version, compare each with the first one, store the results, and return their summary."""
    truth = _truth(database, task.series_ids)
    first: dict[Overlap, Matches] | None = None
    summary: dict[str, dict[str, MeasuredValue]] = {}
    differences: dict[str, dict[str, MeasuredValue]] = {}
    for done, version in enumerate(task.model_versions):
        report(done, len(task.model_versions))
        matches = _matches(database, version, truth)
        fused = matches[FUSED]
        summary[version] = {rule.value: _average(fused[rule], truth) for rule in RULES}
        if first is None:
            first = fused
        else:
            differences[version] = {rule.value: _difference(first[rule], fused[rule], truth) for rule in RULES}
        compared_with = task.model_versions[0] if done else None
        stored = _stored(task.split, truth, matches, compared_with, differences.get(version, {}))
        Models(database).add_evaluation(version, stored)
        logger.info("measured model %s on %d series", version, len(truth.series))
    return EvaluateResult(
        measurable=True,
        split=task.split,
        series=len(truth.series),
        patients=len(set(truth.patients)),
        lesions=truth.lesions,
        average_sensitivity=summary,
        difference=differences,
    )


def _truth(database: Database, series_ids: Sequence[int]) -> _Truth:
    catalog, annotations = Catalog(database), Annotations(database)
    series = tuple(catalog.series(series_id) for series_id in series_ids)
    boxes = {
        item.name: _boxes(true_boxes(annotations.of_series(item.id), said_of(database, item.id).decisions))
        for item in series
    }
    return _Truth(series, boxes)


def _matches(database: Database, version: str, truth: _Truth) -> dict[str, dict[Overlap, Matches]]:
    """Compare the findings of every expert of a version, and of their fusion, with the truth."""
    detections = Detections(database)
    findings = {item.name: detections.read_findings(item.id, version) for item in truth.series}
    experts = (*Models(database).get(version).experts, FUSED)
    return {
        expert: {
            rule: match({name: prediction_rows(found, expert) for name, found in findings.items()}, truth.boxes, rule)
            for rule in RULES
        }
        for expert in experts
    }


def _boxes(rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    return np.asarray(rows, dtype=np.float64).reshape(-1, 6)


def _stored(
    split: Split,
    truth: _Truth,
    matches: Mapping[str, Mapping[Overlap, Matches]],
    compared_with: str | None,
    difference: Mapping[str, MeasuredValue],
) -> dict[str, object]:
    return {
        "split": split.value,
        "series": len(truth.series),
        "patients": len(set(truth.patients)),
        "lesions": truth.lesions,
        "threshold": HIT_THRESHOLD,
        "experts": {
            expert: {rule.value: _curve(of_rule[rule], truth) for rule in RULES} for expert, of_rule in matches.items()
        },
        "compared_with": compared_with,
        "difference": {rule: interval.model_dump() for rule, interval in difference.items()},
    }


def _curve(matches: Matches, truth: _Truth) -> dict[str, object]:
    curve = matches.curve()
    at_rates = zip(FALSE_POSITIVE_RATES, curve.sensitivity_at().tolist(), strict=True)
    return {
        "average_sensitivity": _average(matches, truth).model_dump(),
        "sensitivity_at": {f"{rate:g}": _number(value) for rate, value in at_rates},
        "points": CurvePoints.of(curve).model_dump(mode="json"),
    }


def _average(matches: Matches, truth: _Truth) -> MeasuredValue:
    return MeasuredValue.of(bootstrap_interval(matches, truth.patients, np.random.default_rng(SEED)))


def _difference(before: Matches, after: Matches, truth: _Truth) -> MeasuredValue:
    return MeasuredValue.of(paired_difference_interval(before, after, truth.patients, np.random.default_rng(SEED)))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
