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
) -> None:
    """List the model versions of the project with their lineage, or promote one."""
    repository = Models(open_database(context))
    if promote is not None:
        repository.promote(promote)
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
