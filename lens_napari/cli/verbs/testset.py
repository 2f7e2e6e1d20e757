"""The verb that says how far the test set is annotated: who has read what, and how far readers agree."""

from collections.abc import Iterable, Sequence
from math import isnan
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from lens_engine.evaluation.agreement import MATCH_IOU, Agreement
from lens_engine.findings import Split
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.labels.completeness import measured_series
from lens_engine.store.readings.agreement import (
    PairAgreement,
    ReaderSensitivity,
    SeriesAgreement,
    pair_agreements,
    series_agreements,
)
from lens_engine.store.readings.readings import Readings
from lens_engine.store.readings.records import ReadingRecord
from lens_napari.cli.context import console, open_database
from lens_napari.review.readings.wording import ROUND_WORDS, blindness_words, time_words

COLUMNS = ("series", "patient", "split", "reader", "round", "state", "time", "blind")
AGREEMENT_COLUMNS = (
    "series", "A", "B", "lesions of A", "of B", "of both", "only A", "only B", "agreement", "mean IoU", "differences",
)  # fmt: skip


def list_test_set(
    context: typer.Context,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="Show how far two readers agree instead, for each series and in total.")
    ] = False,
) -> None:
    """List who has read which held-out series for the test set, and what is left; or how far two readers agree."""
    database = open_database(context)
    if agreement:
        _show_agreement(database)
    else:
        _list(database)


def _list(database: Database) -> None:
    readings: dict[int, list[ReadingRecord]] = {}
    for reading in Readings(database).all():
        readings.setdefault(reading.series_id, []).append(reading)
    table = Table(*COLUMNS)
    records = [
        record for record in Catalog(database).all_series(with_images=True) if record.split in (Split.VAL, Split.TEST)
    ]
    for record in records:
        for row in _rows(record, readings.get(record.id, ())):
            table.add_row(*row)
    console.print(table)
    complete = sum(any(item.is_complete for item in readings.get(record.id, ())) for record in records)
    begun = sum(record.id in readings for record in records) - complete
    console.print(
        f"{len(records)} held-out series: {complete} complete, {begun} in progress, "
        f"{len(records) - complete - begun} untouched"
    )
    disputed = [name for split in (Split.VAL, Split.TEST) for name in measured_series(database, split).disputed]
    if disputed:
        console.print(f"[yellow]To adjudicate:[/] {escape(', '.join(disputed))}")


def _rows(record: SeriesRecord, readings: Iterable[ReadingRecord]) -> Sequence[tuple[str, ...]]:
    series = (record.name, record.patient_code, record.split.value)
    rows = [
        (
            *series,
            escape(reading.reader),
            ROUND_WORDS[reading.round],
            "complete" if reading.is_complete else "in progress",
            time_words(reading.seconds),
            blindness_words(reading),
        )
        for reading in readings
    ]
    return rows or [(*series, "", "", "untouched", "", "")]


def _show_agreement(database: Database) -> None:
    pairs = pair_agreements(database)
    if not pairs:
        console.print("No series has two complete readings yet.")
        return
    table = Table(*AGREEMENT_COLUMNS)
    for one in series_agreements(database):
        table.add_row(one.series.name, *map(escape, one.readers), *_counts(one.figures), *_quality(one))
    console.print(table)
    console.print(
        f"A lesion is one of both where the 3D boxes overlap by IoU {MATCH_IOU} at least; agreement: 2 × both / (A + B)"
    )
    for pair in pairs:
        console.print(escape(_pair_words(pair)), highlight=False)


def _counts(figures: Agreement) -> tuple[str, ...]:
    numbers = (figures.first, figures.second, figures.matched, figures.only_first, figures.only_second)
    return tuple(map(str, numbers))


def _quality(one: SeriesAgreement) -> tuple[str, str, str]:
    figures = one.figures
    state = f"{one.open_places} to adjudicate" if one.open_places else "settled"
    return _percent(figures.positive_agreement.value), _number(figures.mean_iou), state


def _pair_words(pair: PairAgreement) -> str:
    figures, (first, second) = pair.figures, pair.readers
    interval = figures.positive_agreement
    lines = [
        f"{first} (A) and {second} (B), {figures.series} series: {figures.first} and {figures.second} lesions, "
        f"{figures.matched} of both, {figures.only_first} of A alone, {figures.only_second} of B alone",
        f"  positive agreement {_percent(interval.value)} ({_percent(interval.low)} to {_percent(interval.high)}, "
        f"{interval.level:.0%} interval over patients); mean IoU of the common lesions {_number(figures.mean_iou)}",
        f"  sensitivity in the {pair.settled} settled series: "
        + ", ".join(
            f"{name} {_sensitivity(found)}" for name, found in zip(pair.readers, pair.sensitivities, strict=True)
        ),
    ]
    return "\n".join(lines)


def _sensitivity(found: ReaderSensitivity) -> str:
    return f"{_percent(found.value)} ({found.found} of {found.lesions})"


def _percent(value: float) -> str:
    return "–" if isnan(value) else f"{100 * value:.1f} %"


def _number(value: float) -> str:
    return "–" if isnan(value) else f"{value:.2f}"


VERBS = {"testset": list_test_set}
