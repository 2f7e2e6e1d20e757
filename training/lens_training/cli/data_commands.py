"""The commands about data sets as downloaded: `python -m lens_training data`, from a shell `lens data`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lens_training.cli.endings import errors_as_exit_codes
from lens_training.datasets.published.check import check_dataset, render, write_odd
from lens_training.datasets.published.reading import DatasetName, ReadingOptions
from lens_training.running.progress import ProgressLog, Stage

data_app = typer.Typer(no_args_is_help=True, help="Look at data sets as downloaded.")


@data_app.callback()
def about() -> None:
    """Look at data sets as downloaded."""


@data_app.command("check")
def check_command(
    dataset: Annotated[DatasetName, typer.Argument(help="Which data set.")],
    folder: Annotated[Path, typer.Argument(help="Where it was unpacked.")],
    voxels: Annotated[
        bool, typer.Option("--voxels", help="Load every scan too: finds damaged files and odd labels.")
    ] = False,
    odd: Annotated[Path | None, typer.Option(help="Write every odd file and row here (.csv or .json).")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder that keeps what was derived, for the next time.")] = None,
) -> None:
    """Print the counts of a data set beside the published ones, and every file and row that is odd."""
    with errors_as_exit_codes():
        with ProgressLog(sys.stderr if sys.stderr.isatty() else None, None) as log:
            report = check_dataset(
                dataset,
                folder,
                ReadingOptions(cache=cache),
                lambda done, total: log.report(Stage.PREPARE, done, total),
                reads_voxels=voxels,
            )
        if odd is not None:
            write_odd(report, odd)
    typer.echo(render(report), nl=False)
    raise typer.Exit(report.exit_code)
