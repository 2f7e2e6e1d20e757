"""Everything that is measured of a detector on completely annotated cases, for each expert and for their fusion.

The official average (IoBB at least 0.3) never stands alone: it does not punish boxes that are too small, so IoU and
IoBBGT at the same threshold, and MELD's criterion, are always beside it (algorithms 9.1, 9.3).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lens_engine.boxes import Overlap
from lens_engine.errors import BoxError
from lens_engine.evaluation.bootstrap import Interval, average_interval, patient_resamples
from lens_engine.evaluation.cross_sections import cross_section_hits, cross_section_rule
from lens_engine.evaluation.froc import (
    DRAWN_RATES,
    FALSE_POSITIVE_RATES,
    FrocCurve,
    Matches,
    VolumeHits,
    check_volumes,
    match,
    pool,
    prediction_rows,
)
from lens_engine.evaluation.strata import NOT_STATED, Dimension, by_stratum, size_classes
from lens_engine.evaluation.sweeps import OVERLAP_THRESHOLDS, SCORE_THRESHOLDS, ScorePoint, at_rates, at_scores
from lens_engine.evaluation.sweeps import overlap_sweep as sweep
from lens_engine.evaluation.truth import CaseTruth
from lens_engine.findings import FUSED, Finding

RULES = (Overlap.IOBB, Overlap.IOU, Overlap.IOBBGT)
"""The official rule and its companions."""

CURVE_POINTS = 200
"""How many points of a curve are kept."""


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MeasuredValue(_Report):
    """A value with its bootstrap interval over patients; null where no lesion was there to find."""

    value: float | None
    low: float | None
    high: float | None
    level: float

    @classmethod
    def of(cls, interval: Interval) -> "MeasuredValue":
        """Return an interval with null for what is not a number."""
        value, low, high = (_number(part) for part in (interval.value, interval.low, interval.high))
        return cls(value=value, low=low, high=high, level=interval.level)

    @property
    def interval(self) -> Interval:
        """The same with NaN for what is null; inverse of `of`."""
        value, low, high = (math.nan if part is None else part for part in (self.value, self.low, self.high))
        return Interval(value, low, high, self.level)

    @property
    def in_percent(self) -> str:
        """The value and its interval for people; empty where there is none."""
        if self.value is None or self.low is None or self.high is None:
            return ""
        return f"{100 * self.value:.1f} ({100 * self.low:.1f} to {100 * self.high:.1f})"


class CurvePoints(_Report):
    """A FROC curve as far as it is drawn, thinned out; empty where the truth holds no lesion."""

    false_positives: tuple[float, ...]
    sensitivity: tuple[float, ...]

    @classmethod
    def of(cls, curve: FrocCurve) -> "CurvePoints":
        """Return at most `CURVE_POINTS` points up to the last rate that is drawn, rounded."""
        shown = np.flatnonzero(curve.false_positives_per_volume <= DRAWN_RATES[1])
        if curve.lesions == 0 or len(shown) == 0:
            return cls(false_positives=(), sensitivity=())
        chosen = shown[np.unique(np.linspace(0, len(shown) - 1, CURVE_POINTS).astype(np.intp))]
        return cls(
            false_positives=tuple(curve.false_positives_per_volume[chosen].round(4).tolist()),
            sensitivity=tuple(curve.sensitivity[chosen].round(4).tolist()),
        )

    def as_curve(self, volumes: int, lesions: int, rule: str) -> FrocCurve:
        """Return the points as a curve to draw; what is read from it is as exact as they are, and has no scores."""
        return FrocCurve(
            false_positives_per_volume=np.asarray(self.false_positives, dtype=np.float64),
            sensitivity=np.asarray(self.sensitivity, dtype=np.float64),
            scores=np.full(len(self.sensitivity), np.nan),
            volumes=volumes,
            lesions=lesions,
            rule=rule,
        )


class Measurement(_Report):
    """Sensitivities of some lesions by one matching rule.

    Attributes
    ----------
    name
        The stratum, or the rule itself where all lesions are meant.
    sensitivities
        At `EvaluationReport.rates`; null where there is no lesion.
    average
        Their mean.
    """

    name: str
    rule: str
    lesions: int
    sensitivities: tuple[float | None, ...]
    average: MeasuredValue


class OverlapRow(_Report):
    """Average sensitivity when a hit needs this much overlap, by overlap measure."""

    threshold: float
    average: dict[Overlap, float | None]


class ScoreRow(_Report):
    """What is found, by the official rule, when everything from a score on is shown.

    Attributes
    ----------
    threshold
        Null where nothing may be shown.
    """

    threshold: float | None
    sensitivity: float | None
    false_positives_per_volume: float


class OutputReport(_Report):
    """What one expert, or the fusion, is worth.

    Attributes
    ----------
    rules
        All lesions by each matching rule, the official one first.
    strata
        Each stratum by the official rule, at the false positives of all lesions together (`evaluation.strata`).
    overlaps
        Averages for other overlap thresholds.
    at_rates
        For each of `EvaluationReport.rates` the lowest score threshold within it.
    at_scores
        Sensitivity and false positives at round score thresholds.
    curve
        The FROC curve by the official rule.
    """

    output: str
    rules: tuple[Measurement, ...]
    strata: dict[Dimension, tuple[Measurement, ...]]
    overlaps: tuple[OverlapRow, ...]
    at_rates: tuple[ScoreRow, ...]
    at_scores: tuple[ScoreRow, ...]
    curve: CurvePoints


class EvaluationReport(_Report):
    """Of all outputs of a detector on the same cases."""

    volumes: int
    patients: int
    lesions: int
    rates: tuple[float, ...]
    bootstrap_rounds: int
    outputs: tuple[OutputReport, ...]

    def output(self, name: str = FUSED) -> OutputReport:
        """Return the report of one expert, or of the fusion."""
        return next(report for report in self.outputs if report.output == name)


class EvaluationSettings(_Report):
    """What is measured beside the fixed rules.

    Attributes
    ----------
    rounds, seed
        How often the bootstrap draws, and from which seed: the same evaluation gives the same intervals.
    """

    rounds: int = 1000
    seed: int = 20180
    overlap_thresholds: tuple[float, ...] = OVERLAP_THRESHOLDS
    score_thresholds: tuple[float, ...] = SCORE_THRESHOLDS


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What is kept of the findings of one output: 56 bytes for each, and which lesions its cross-sections hit.

    Attributes
    ----------
    rows
        3D boxes and scores (n, 7) of each case.
    sections
        What hits by MELD's criterion in each case.
    """

    rows: dict[str, NDArray[np.float64]]
    sections: dict[str, VolumeHits]


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """The truth in one order for everything, and the resamples that all intervals share."""

    truths: Mapping[str, CaseTruth]
    weights: NDArray[np.int64]
    settings: EvaluationSettings

    @property
    def boxes(self) -> dict[str, NDArray[np.float64]]:
        """The 3D boxes of each case."""
        return {name: truth.boxes for name, truth in self.truths.items()}


def evaluate_findings(
    findings: Mapping[str, Sequence[Finding]],
    truths: Mapping[str, CaseTruth],
    experts: Sequence[str],
    settings: EvaluationSettings | None = None,
) -> EvaluationReport:
    """Measure every expert, and the fusion, by all rules.

    Parameters
    ----------
    findings
        Of all experts and the fusion, by case; cases without an entry have none. Each case is asked for once and then
        forgotten but for boxes and scores, so that a mapping which reads files keeps no more than one case in memory.
    truths
        The complete truth of every case; cases without a lesion count in the false-positive rate.
    experts
        Names, without the fusion.

    Raises
    ------
    BoxError
        As `froc.match` and `cross_sections.match_cross_sections`; also if a finding is of no known expert.
    """
    chosen = settings or EvaluationSettings()
    outputs = (*experts, FUSED)
    check_volumes(findings, truths)
    patients = [truth.patient for truth in truths.values()]
    generator = np.random.default_rng(chosen.seed)
    task = _Task(truths, patient_resamples(patients, generator, chosen.rounds), chosen)
    return EvaluationReport(
        volumes=len(truths),
        patients=len(set(patients)),
        lesions=sum(len(truth.boxes) for truth in truths.values()),
        rates=FALSE_POSITIVE_RATES,
        bootstrap_rounds=chosen.rounds,
        outputs=tuple(_output(name, found, task) for name, found in _all_found(findings, truths, outputs).items()),
    )


def _all_found(
    findings: Mapping[str, Sequence[Finding]], truths: Mapping[str, CaseTruth], outputs: Sequence[str]
) -> dict[str, _Found]:
    """Go through all cases once."""
    kept = {name: _Found({}, {}) for name in outputs}
    for case, truth in truths.items():
        found = findings.get(case, ())
        _check_experts(found, outputs)
        sections = truth.known_sections
        for name, columns in kept.items():
            own = [item for item in found if item.expert == name]
            columns.rows[case] = prediction_rows(own, name)
            columns.sections[case] = cross_section_hits(case, own, sections)
    return kept


def _check_experts(found: Sequence[Finding], outputs: Sequence[str]) -> None:
    unknown = sorted({finding.expert for finding in found} - set(outputs))
    if unknown:
        raise BoxError(
            f"There are findings of {', '.join(unknown)}",
            f"Findings of {', '.join(outputs)} are measured",
            "Name every expert, or leave its findings out",
        )


def _output(name: str, found: _Found, task: _Task) -> OutputReport:
    rows = found.rows
    matches = {rule: match(rows, task.boxes, rule) for rule in RULES}
    sections = pool(found.sections, cross_section_rule())
    official = matches[RULES[0]]
    return OutputReport(
        output=name,
        rules=tuple(_measurement(part.rule, part, task) for part in (*matches.values(), sections)),
        strata=_strata(official, task),
        overlaps=_overlaps(rows, task),
        at_rates=tuple(_score_row(point) for point in at_rates(official)),
        at_scores=tuple(_score_row(point) for point in at_scores(official, task.settings.score_thresholds)),
        curve=CurvePoints.of(official.curve()),
    )


def _measurement(name: str, matches: Matches, task: _Task) -> Measurement:
    return Measurement(
        name=name,
        rule=matches.rule,
        lesions=len(matches.found_by),
        sensitivities=tuple(_number(value) for value in matches.curve().sensitivity_at().tolist()),
        average=MeasuredValue.of(average_interval(matches, task.weights)),
    )


def _strata(matches: Matches, task: _Task) -> dict[Dimension, tuple[Measurement, ...]]:
    """Return the strata of each dimension along which anything is known."""
    measured = {}
    for dimension in Dimension:
        names = [name for truth in task.truths.values() for name in truth.strata(dimension)]
        parts = by_stratum(matches, names, size_classes() if dimension is Dimension.SIZE else ())
        if set(parts) - {NOT_STATED}:
            measured[dimension] = tuple(_measurement(name, part, task) for name, part in parts.items())
    return measured


def _overlaps(rows: Mapping[str, NDArray[np.float64]], task: _Task) -> tuple[OverlapRow, ...]:
    def matching(rule: Overlap) -> Callable[[float], Matches]:
        return lambda threshold: match(rows, task.boxes, rule, threshold)

    sweeps = {rule: sweep(matching(rule), task.settings.overlap_thresholds) for rule in RULES}
    return tuple(
        OverlapRow(threshold=threshold, average={rule: _number(sweeps[rule][index].average) for rule in RULES})
        for index, threshold in enumerate(task.settings.overlap_thresholds)
    )


def _score_row(point: ScorePoint) -> ScoreRow:
    return ScoreRow(
        threshold=None if math.isinf(point.threshold) else point.threshold,
        sensitivity=_number(point.sensitivity),
        false_positives_per_volume=point.false_positives_per_volume,
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
