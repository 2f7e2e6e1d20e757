"""The commands about a run that has ended: `lens recipe measure` and `lens recipe export`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lens_engine.detector.inference.whole_volume import InferencePrecision
from lens_engine.findings import FUSED
from lens_training.cli.context import process_of_run
from lens_training.cli.endings import errors_as_exit_codes
from lens_training.recipes.recipe import MeasuredPart
from lens_training.reproduction.data import data_to_export
from lens_training.reproduction.measuring.exporting import export_predictions
from lens_training.reproduction.run import measure_run
from lens_training.reproduction.stored_run import Elsewhere, load_run
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal

RunArgument = Annotated[Path, typer.Argument(help="Folder that 'lens recipe run' has left.")]
DataOption = Annotated[str | None, typer.Option(help="Where the data sets lie now, if the run found them elsewhere.")]
InferenceOption = Annotated[InferencePrecision | None, typer.Option(help="Instead of what the run was measured with.")]
CacheOption = Annotated[Path | None, typer.Option(help="Folder that keeps what masks and headers said.")]


def measure_command(
    run: RunArgument,
    part: Annotated[MeasuredPart, typer.Option(help="'val' to choose by; 'test' is counted.")] = MeasuredPart.VAL,
    data: DataOption = None,
    inference: InferenceOption = None,
    devices: Annotated[int, typer.Option(min=1, help="GPUs (or processes of the CPU) that share the cases.")] = 1,
    cache: CacheOption = None,
) -> None:
    """Measure a run on a part of its data; what it has found already is not computed again."""
    with process_of_run(run, devices, 1, resume=True) as process:
        stored = load_run(run, Elsewhere(data, inference, cache), process.world)
        results = measure_run(stored, part, process.log, process.stop)
    if results is not None:
        typer.echo(results.text)


def export_command(
    run: RunArgument,
    part: Annotated[MeasuredPart, typer.Option(help="Of the manual test set.")] = MeasuredPart.TEST,
    output: Annotated[str, typer.Option(help="Whose findings: the fusion, or one expert.")] = FUSED,
    out: Annotated[Path | None, typer.Option(help="File; by default predictions-PART.pkl in RUN.")] = None,
    data: DataOption = None,
    inference: InferenceOption = None,
) -> None:
    """Write the predictions of a run for the official evaluation script of the manual test set."""
    with errors_as_exit_codes():
        stored = load_run(run, Elsewhere(data, inference))
        with ProgressLog(sys.stderr if sys.stderr.isatty() else None, None) as log:
            found = data_to_export(stored.recipe, stored.source, part, log, StopSignal())
        written = export_predictions(stored, found, part, output, out or run / f"predictions-{part}.pkl")
    typer.echo(f"{written.path}: {written.boxes} boxes in {written.sub_volumes} sub-volumes of part {part}")
    if written.left_out:
        typer.echo(f"{written.left_out} sub-volumes are not in the data set; they are without a box")
