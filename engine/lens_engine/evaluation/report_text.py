"""An evaluation as plain text, with the columns of the papers: 1/8 to 8 false positives per volume, and their mean."""

from collections.abc import Sequence

from lens_engine.boxes import Overlap
from lens_engine.evaluation.report import EvaluationReport, Measurement, OutputReport, OverlapRow, ScoreRow

_NAME_WIDTH = 36
_NUMBER_WIDTH = 7
_UNKNOWN = "–"


def report_text(report: EvaluationReport) -> str:
    """Return all tables of a report; numbers are percent where nothing else is said."""
    head = (
        f"{report.volumes} volumes of {report.patients} patients, {report.lesions} lesions."
        f" Sensitivity in % at false positives per volume; in brackets the 95 % interval over patients."
    )
    return "\n\n".join([head, *("\n\n".join(_output(item, report.rates)) for item in report.outputs)]) + "\n"


def _output(output: OutputReport, rates: Sequence[float]) -> list[str]:
    official = output.rules[0].rule
    tables = [_measurements(f"{output.output}: rule", output.rules, rates)]
    tables += [
        _measurements(f"{output.output}: {dimension.value} ({official})", parts, rates)
        for dimension, parts in output.strata.items()
    ]
    tables.append(_overlaps(f"{output.output}: overlap needed", output.overlaps))
    tables.append(_scores(f"{output.output}: score for {_rate(rates[0])} to {_rate(rates[-1])}", output.at_rates))
    tables.append(_scores(f"{output.output}: shown from score", output.at_scores))
    return tables


def _measurements(title: str, rows: Sequence[Measurement], rates: Sequence[float]) -> str:
    columns = "".join(f"{_rate(rate):>{_NUMBER_WIDTH}}" for rate in rates)
    lines = [f"{title:<{_NAME_WIDTH}}{'lesions':>8}{columns}{'avg':>{_NUMBER_WIDTH}}"]
    for row in rows:
        cells = "".join(f"{_percent(value):>{_NUMBER_WIDTH}}" for value in (*row.sensitivities, row.average.value))
        interval = row.average.in_percent.partition(" ")[2]
        lines.append(f"{row.name:<{_NAME_WIDTH}}{row.lesions:>8}{cells}  {interval}".rstrip())
    return "\n".join(lines)


def _overlaps(title: str, rows: Sequence[OverlapRow]) -> str:
    measures = tuple(rows[0].average) if rows else tuple(Overlap)
    lines = [f"{title:<{_NAME_WIDTH}}" + "".join(f"{measure.value:>{_NUMBER_WIDTH + 1}}" for measure in measures)]
    for row in rows:
        cells = "".join(f"{_percent(row.average[measure]):>{_NUMBER_WIDTH + 1}}" for measure in measures)
        lines.append(f"{row.threshold:<{_NAME_WIDTH}g}{cells}")
    return "\n".join(lines)


def _scores(title: str, rows: Sequence[ScoreRow]) -> str:
    lines = [f"{title:<{_NAME_WIDTH}}{'found':>{_NUMBER_WIDTH}}{'false positives':>{2 * _NUMBER_WIDTH + 4}}"]
    for row in rows:
        threshold = "nothing shown" if row.threshold is None else f"{row.threshold:.4g}"
        lines.append(
            f"{threshold:<{_NAME_WIDTH}}{_percent(row.sensitivity):>{_NUMBER_WIDTH}}"
            f"{row.false_positives_per_volume:>{2 * _NUMBER_WIDTH + 4}.3f}"
        )
    return "\n".join(lines)


def _rate(rate: float) -> str:
    return f"{rate:g}".removeprefix("0")


def _percent(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{100 * value:.1f}"
