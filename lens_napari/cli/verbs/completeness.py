"""The verb that says which series are completely annotated: those are what a detector is measured on."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from lens_engine.errors import LensError
from lens_engine.findings import Split
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.labels.completeness import (
    known_lesions,
    mark_complete,
    measured_series,
    unmark_complete,
)
from lens_engine.store.labels.left_out import why_left_out
from lens_napari.cli.context import Refusals, console, open_database
from lens_napari.review.wording import lesions_in_words


def complete(
    context: typer.Context,
    series: Annotated[list[str] | None, typer.Argument(help="Names of series; without any, all are listed.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the mark back.")] = False,
) -> None:
    """Say that every lesion of a series is annotated in 3D: it is measured on and exported; or list which are."""
    database = open_database(context)
    if series:
        _mark(database, series, undo=undo)
    elif undo:
        raise typer.BadParameter("--undo needs the names of series; see them with: lens complete")
    else:
        _list(database)


def _mark(database: Database, names: list[str], *, undo: bool) -> None:
    change = unmark_complete if undo else mark_complete
    refusals = Refusals()
    for name in names:
        try:
            before = Catalog(database).by_name(name)
            record = change(database, before.id)
        except LensError as error:
            refusals.add(error)
            continue
        console.print(f"{record.name}: {_state(database, before, record)}", highlight=False)
    refusals.exit_if_any()


def _state(database: Database, before: SeriesRecord, record: SeriesRecord) -> str:
    """Return what a series is now, and whether that is new."""
    if record.is_complete:
        return f"complete, in the {record.test_set_part} part; {lesions_in_words(known_lesions(database, record.id))}"
    return "not complete any more" if before.is_complete else "was not marked complete"


def _list(database: Database) -> None:
    table = Table("series", "patient", "split", "images", "complete")
    measured = [measured_series(database, split) for split in (Split.VAL, Split.TEST)]
    left_out = sorted(name for part in measured for name in part.left_out)
    disputed = sorted(name for part in measured for name in part.disputed)
    for record in Catalog(database).all_series():
        mark = "left out" if record.name in (*left_out, *disputed) else "yes" if record.is_complete else ""
        images = "" if record.source is None else "yes"
        table.add_row(record.name, record.patient_code, record.split, images, mark)
    console.print(table)
    if left_out or disputed:
        console.print(f"[yellow]Note:[/] {escape(why_left_out(left_out, disputed))}")


VERBS = {"complete": complete}
