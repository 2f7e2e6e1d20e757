"""The command line of `python -m lens_training`: all its commands."""

import typer

from lens_training.cli.data_commands import data_app
from lens_training.cli.fit_command import fit_command
from lens_training.cli.recipe_commands import recipe_app

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train LENS detectors.")
app.command("fit")(fit_command)
app.add_typer(recipe_app, name="recipe")
app.add_typer(data_app, name="data")
