"""What `recipe run loop` does: the experiment whose replicates are projects of their own."""

import time
from collections.abc import Sequence
from pathlib import Path

import typer

from lens_engine.errors import ConfigError
from lens_training.cli.endings import errors_as_exit_codes
from lens_training.loop.design import LOOP, load_design
from lens_training.loop.run import run_loop


def run_experiment(folder: Path, parallel: int, unknown: Sequence[str], *, resume: bool) -> None:
    """Run the loop experiment in `folder`, and print its results.

    Parameters
    ----------
    unknown
        Options that were given and that only other recipes have.
    """
    started = time.monotonic()

    def say(text: str) -> None:
        typer.echo(f"{(time.monotonic() - started) / 60:5.1f} min  {text}")

    with errors_as_exit_codes():
        _check(folder, unknown, resume=resume)
        results = run_loop(load_design(), folder, say, parallel)
    typer.echo(results.text)
    say(f"everything is in {folder}")


def _check(folder: Path, unknown: Sequence[str], *, resume: bool) -> None:
    if unknown:
        raise ConfigError(
            f"{', '.join(unknown)} was given for {LOOP}",
            "The experiment is fixed; only --out, --parallel and --resume can be chosen",
            "Leave it out",
        )
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise ConfigError(
            f"{folder} holds files already",
            "A new folder, or the one of a run to go on with",
            "Give another one with --out, or --resume",
        )
