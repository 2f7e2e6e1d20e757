"""The `lens` command: everything a button does, from a shell.

Run inside a project folder or with `--project DIR`. Exit codes: 0 all done, 1 something was refused or failed (said in
one message each), 2 the command line is wrong, 130 interrupted.
"""

import sys
from importlib import import_module
from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperGroup
from typer.main import get_command

from lens_engine.errors import LensError
from lens_napari.cli.context import ProjectOption, console, errors

MODULE_OF = {
    "init": "project_verbs",
    "add": "project_verbs",
    "import": "project_verbs",
    "complete": "completeness_verb",
    "testset": "testset_verb",
    "detect": "job_verbs",
    "mine": "job_verbs",
    "retrain": "job_verbs",
    "evaluate": "job_verbs",
    "export": "job_verbs",
    "worker": "jobs_verb",
    "jobs": "jobs_verb",
    "models": "model_verbs",
    "review": "viewer_verbs",
    "demo": "viewer_verbs",
    "backup": "keeping_verbs",
    "restore": "keeping_verbs",
    "grant": "keeping_verbs",
    "revoke": "keeping_verbs",
    "audit": "audit_verb",
    "doctor": "doctor_verb",
    "recipe": "training_verbs",
    "data": "training_verbs",
}
"""The module beside this one whose `VERBS` has each verb, in the order of the help."""


class Verbs(TyperGroup):
    """Loads a verb when it is asked for: what all of them need together takes longer to load than most take to run."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the verbs in the order of the help."""
        return list(MODULE_OF)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # Typer brings its own classes of Click
        """Return a verb, or None where there is none of this name."""
        if cmd_name not in MODULE_OF:
            return None
        module = import_module(f"{__name__}.{MODULE_OF[cmd_name]}")
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


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        app()
    except LensError as error:
        errors.print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("Interrupted.")
        sys.exit(130)
