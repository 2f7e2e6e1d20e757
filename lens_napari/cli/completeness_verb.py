"""The verb that says which series are completely annotated: those are what a detector is measured on."""

from typing import Annotated

import typer
from rich.table import Table

from lens_engine.errors import LensError
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.labels.completeness import mark_complete, unmark_complete
from lens_napari.cli.context import Refusals, console, open_database


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
            record = change(database, Catalog(database).by_name(name).id)
        except LensError as error:
            refusals.add(error)
            continue
        state = f"complete, in the {record.test_set_part} part" if record.is_complete else "not complete any more"
        console.print(f"{record.name}: {state}", highlight=False)
    refusals.exit_if_any()


def _list(database: Database) -> None:
    table = Table("series", "patient", "split", "complete")
    for record in Catalog(database).all_series():
        table.add_row(record.name, record.patient_code, record.split, "yes" if record.is_complete else "")
    console.print(table)


VERBS = {"complete": complete}
