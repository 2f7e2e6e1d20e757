"""The verbs of `lens` gathered in one command, each loaded when it is asked for."""

import sys
from importlib import import_module
from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperGroup
from typer.main import get_command

from lens_engine.errors import LensError
from lens_napari.cli.context import ProjectOption, errors

MODULE_OF = {
    "init": "project",
    "add": "project",
    "import": "project",
    "complete": "completeness",
    "testset": "testset",
    "detect": "job_requests",
    "mine": "job_requests",
    "retrain": "job_requests",
    "evaluate": "job_requests",
    "export": "job_requests",
    "worker": "jobs",
    "jobs": "jobs",
    "models": "models",
    "review": "viewer",
    "demo": "viewer",
    "backup": "keeping",
    "restore": "keeping",
    "grant": "keeping",
    "revoke": "keeping",
    "audit": "audit",
    "doctor": "doctor",
    "recipe": "training",
    "data": "training",
}
"""The module of `verbs` whose `VERBS` has each verb, in the order of the help."""


class Verbs(TyperGroup):
    """Loads a verb when it is asked for: what all of them need together takes longer to load than most take to run."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the verbs in the order of the help."""
        return list(MODULE_OF)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # Typer brings its own classes of Click
        """Return a verb, or None where there is none of this name."""
        if cmd_name not in MODULE_OF:
            return None
        module = import_module(f"lens_napari.cli.verbs.{MODULE_OF[cmd_name]}")
        alone = typer.Typer(add_completion=False)
        alone.command(cmd_name, context_settings=getattr(module, "FORWARDED", None))(module.VERBS[cmd_name])
        return get_command(alone)


app = typer.Typer(
    name="lens",
    cls=Verbs,
    help="Find the lesions that were not marked in a CT data set, and settle them. For research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def main_options(context: typer.Context, project: ProjectOption = None) -> None:
    """Find the lesions that were not marked in a CT data set, and settle them. For research use only."""
    context.obj = project


def run() -> None:
    """Run the command line and leave with its exit code."""
    try:
        app()
    except LensError as error:
        errors.print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False)
        sys.exit(1)
