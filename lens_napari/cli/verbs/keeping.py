"""Verbs that keep a project safe: backup, restore, grant, revoke."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from lens_engine.store.keeping.backup import back_up
from lens_engine.store.keeping.restore import restore as restore_backup
from lens_engine.store.keeping.roles import Role
from lens_engine.store.keeping.roles import grant as give_role
from lens_engine.store.keeping.roles import revoke as take_role
from lens_engine.store.new_project import prepare_project
from lens_napari.cli.context import console, open_database


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="New file; others may use the project meanwhile.")],
) -> None:
    """Write database, settings, models, detections, snapshots and exports of the project to one file."""
    manifest = back_up(open_database(context), file)
    size = sum(member.size for member in manifest.files.values())
    console.print(
        f"{len(manifest.files)} files ({size / 1e6:.1f} MB) of {escape(manifest.project)} in {escape(str(file))}"
    )
    for what, why in manifest.left_out.items():
        console.print(f"Left out: {what}: {why}", highlight=False)
    console.print("[yellow]It holds the salt of the patient numbers: keep it as carefully as the project.[/]")


def restore(
    file: Annotated[Path, typer.Argument(help="What 'lens backup' has written.")],
    folder: Annotated[Path, typer.Argument(help="New or empty folder for the project.")],
    database_url: Annotated[
        str | None, typer.Option(help="Empty PostgreSQL database for the project; SQLite in the folder by default.")
    ] = None,
    jobs_url: Annotated[
        str | None, typer.Option(help="PostgreSQL for the jobs; that of the project by default, beside its tables.")
    ] = None,
) -> None:
    """Make a project from a backup, on SQLite or on PostgreSQL, whichever it came from."""
    project = restore_backup(file, folder, database_url, jobs_url or database_url)
    database, _ = prepare_project(project)
    database.close()
    console.print(f"Project {escape(project.settings.name)} in {escape(str(project.folder))}")


def grant(
    context: typer.Context,
    role: Annotated[Role, typer.Argument(help="What the user may do.")],
    user: Annotated[str, typer.Argument(help="A user that the PostgreSQL server knows.")],
) -> None:
    """Let a user of the PostgreSQL server be a reader, an adjudicator or an administrator of the project."""
    give_role(open_database(context), role, user)
    console.print(f"{escape(user)} is {'an' if role is not Role.READER else 'a'} {role} of this project.")


def revoke(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="A user that the PostgreSQL server knows.")],
) -> None:
    """Take from a user of the PostgreSQL server whatever role he has in the project; what he decided stays."""
    take_role(open_database(context), user)
    console.print(f"{escape(user)} has no role in this project any more.")


VERBS = {"backup": backup, "restore": restore, "grant": grant, "revoke": revoke}
