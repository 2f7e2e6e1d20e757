"""Stored evaluations as something to look at: curves of the newest version and the one it came from, and in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lens_engine.boxes import Overlap
from lens_engine.evaluation.bootstrap import Interval
from lens_engine.evaluation.froc import FrocCurve, rule_name
from lens_engine.evaluation.froc_figure import figure
from lens_engine.evaluation.report import CurvePoints, MeasuredValue
from lens_engine.findings import FUSED
from lens_engine.store.models.model_versions import ModelRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_RULE = Overlap.IOBB
"""The official rule; what IoU says is told beside it to who asks."""
SIZE_INCHES = (3.4, 3.2)

Evaluation = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class FrocView:
    """What the models panel shows about the measured versions.

    Attributes
    ----------
    averages
        Average sensitivity of each measured version, in percent, as text.
    figure
        Curves over each other; None before the first measurement.
    words
        What the curves say, with the interval of the difference.
    details
        The same by each matching rule, for a researcher.
    """

    averages: Mapping[str, str]
    figure: "Figure | None"
    words: str
    details: str


def froc_view(records: Sequence[ModelRecord], evaluations: Mapping[str, Sequence[Evaluation]]) -> FrocView:
    """Compare the newest measured version with the one it was measured against, or with its parent.

    Parameters
    ----------
    records
        Oldest first.
    evaluations
        What was measured of each version, oldest first; see `lens_engine.tasks.evaluation` for the form.
    """
    latest = {version: stored[-1] for version, stored in evaluations.items() if stored}
    measured = [record for record in records if record.version in latest]
    averages = {version: percent(_average(evaluation, SHOWN_RULE)) for version, evaluation in latest.items()}
    if not measured:
        return FrocView(averages, None, "Nothing has been measured yet.", "")
    newest = measured[-1]
    evaluation = latest[newest.version]
    before = str(evaluation.get("compared_with") or newest.parent or "")
    shown = [version for version in (before, newest.version) if version in latest]
    drawing = figure(
        {version: _curve(latest[version]) for version in shown},
        {version: _average(latest[version], SHOWN_RULE) for version in shown},
        title=f"{evaluation['lesions']} lesions, {evaluation['patients']} held-out patients",
        size_inches=SIZE_INCHES,
    )
    told = {rule: _told(newest.version, before, latest, rule) for rule in (Overlap.IOBB, Overlap.IOU)}
    words = f"Average sensitivity, percent: {told[SHOWN_RULE]}."
    return FrocView(averages, drawing, words, "\n".join(f"{rule}: {clause}" for rule, clause in told.items()))


def certainty(difference: Interval) -> str:
    """Return the interval of a rise and what follows from it, as a clause; nothing where there is no interval."""
    if not math.isfinite(difference.low):
        return ""
    if difference.low > 0:
        verdict = "better"
    elif difference.high < 0:
        verdict = "worse"
    else:
        verdict = "not certain yet"
    return f", interval of the difference {100 * difference.low:+.1f} to {100 * difference.high:+.1f}: {verdict}"


def percent(interval: Interval) -> str:
    """Return a share in percent, as text."""
    return f"{100 * interval.value:.1f}" if math.isfinite(interval.value) else "–"


def _curve(evaluation: Evaluation) -> FrocCurve:
    points = CurvePoints.model_validate(evaluation["experts"][FUSED][SHOWN_RULE.value]["points"])
    rule = rule_name("3D", SHOWN_RULE, float(evaluation["threshold"]))
    return points.as_curve(int(evaluation["series"]), int(evaluation["lesions"]), rule)


def _average(evaluation: Evaluation, rule: Overlap) -> Interval:
    return MeasuredValue.model_validate(evaluation["experts"][FUSED][rule.value]["average_sensitivity"]).interval


def _told(version: str, before: str, latest: Mapping[str, Evaluation], rule: Overlap) -> str:
    now = _average(latest[version], rule)
    if before not in latest:
        return f"{percent(now)} ({_span(now)})"
    difference = latest[version].get("difference", {}).get(rule.value)
    told = certainty(MeasuredValue.model_validate(difference).interval) if difference else ""
    return f"{percent(_average(latest[before], rule))} → {percent(now)}{told}"


def _span(interval: Interval) -> str:
    if not math.isfinite(interval.low):
        return "no interval"
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
