"""What every verb shares: the project, the two output streams, progress bars and refusals."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lens_engine.errors import LensError
from lens_engine.project import Project
from lens_engine.store.database import Database

# In a pipe or a log file no terminal says how wide it is.
console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)
errors = Console(stderr=True, soft_wrap=True)

ProjectOption = Annotated[
    Path | None,
    typer.Option("--project", "-p", help="The project folder; without it, the folder you are in or one above it."),
]


@dataclass
class Refusals:
    """Collects what was refused while the rest of a command goes on; the command then exits with 1."""

    messages: list[str] = field(default_factory=list)

    def add(self, error: LensError) -> None:
        """Show a refusal and remember it for the exit code."""
        self.messages.append(str(error))
        errors.print(f"[bold red]Refused:[/] {escape(str(error))}", highlight=False)

    def add_all(self, refused: Iterable[LensError]) -> None:
        """Show several refusals."""
        for error in refused:
            self.add(error)

    def exit_if_any(self) -> None:
        """Leave with exit code 1 if anything was refused."""
        if self.messages:
            raise typer.Exit(1)


def open_project(context: typer.Context) -> Project:
    """Return the project that the command line names, or the one around the working directory."""
    folder: Path | None = context.obj
    return Project.open(folder) if folder is not None else Project.find()


def open_database(context: typer.Context) -> Database:
    """Return the database of the project that the command line names."""
    return Database.open(open_project(context))


def progress_bar() -> Progress:
    """Return a progress bar: what, how far, how long."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=errors
    )
