"""The verb that lists, promotes and rolls back model versions."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from lens_engine.store.model_versions import Models
from lens_napari.cli.context import console, open_database


def models(
    context: typer.Context,
    promote: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Use this version from now on; an older one rolls back.")
    ] = None,
    roll_back: Annotated[
        bool, typer.Option("--roll-back", help="Use the version again that was in use before the present one.")
    ] = False,
) -> None:
    """List the model versions of the project with their lineage, promote one, or roll back to the one before."""
    if promote is not None and roll_back:
        raise typer.BadParameter("--promote and --roll-back name two versions; give one of them")
    repository = Models(open_database(context))
    if promote is not None or roll_back:
        used = repository.roll_back() if promote is None else repository.promote(promote)
        console.print(f"Model version {used.version} is used from now on.")
    table = Table("version", "promoted", "parent", "snapshot", "experts", "notice")
    for record in repository.all():
        table.add_row(
            record.version,
            "yes" if record.is_promoted else "",
            record.parent or "",
            record.snapshot_id or "",
            ", ".join(record.experts),
            escape(record.notice),
        )
    console.print(table)


VERBS = {"models": models}
