"""The `lens` command: everything a button does, from a shell.

Run inside a project folder or with `--project DIR`. Exit codes: 0 all done, 1 something was refused or failed (said in
one message each), 2 the command line is wrong, 130 interrupted.
"""

import sys

import typer
from rich.markup import escape

from lens_engine.errors import LensError
from lens_napari.cli import (
    completeness_verb,
    doctor_verb,
    job_verbs,
    model_verbs,
    project_verbs,
    testset_verb,
    training_verbs,
    viewer_verbs,
)
from lens_napari.cli.context import ProjectOption, console, errors

app = typer.Typer(
    name="lens",
    help="Find the lesions that were not marked in a CT data set, and settle them. For research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def main_options(context: typer.Context, project: ProjectOption = None) -> None:
    """Find the lesions that were not marked in a CT data set, and settle them. For research use only."""
    context.obj = project


for verbs in (project_verbs, completeness_verb, testset_verb, job_verbs, model_verbs, viewer_verbs, doctor_verb):
    for name, verb in verbs.VERBS.items():
        app.command(name)(verb)
for name, verb in training_verbs.VERBS.items():
    app.command(name, context_settings=training_verbs.FORWARDED)(verb)


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
