"""The verbs that researchers use from a shell: recipes and data sets. They hand over to `python -m lens_training`.

This process never loads torch, and the training knows nothing of projects: it becomes the training process instead,
with the environment that a job's process gets.
"""

from importlib.util import find_spec

import typer

from lens_engine.errors import ConfigError
from lens_engine.jobs.environment import process_environment
from lens_napari.cli.handover import become

TRAINING_PACKAGES = ("torch", "lightning")
FORWARDED = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""Every argument, `--help` too, belongs to the program that takes over."""


def recipe(context: typer.Context) -> None:
    """List, show, run and measure the published recipes: lens recipe list | show | run | measure | export | embed."""
    _hand_over("recipe", context.args)


def data(context: typer.Context) -> None:
    """Check a data set as downloaded: lens data check DATASET PATH."""
    _hand_over("data", context.args)


def _hand_over(group: str, arguments: list[str]) -> None:
    missing = [name for name in TRAINING_PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} cannot be imported here",
            "Recipes and data sets need the training part",
            'Install it with: pip install "lens-napari[training]"',
        )
    become("lens_training", [group, *arguments], process_environment() | {"LENS_PROGRAM": "lens"})


VERBS = {"recipe": recipe, "data": data}
