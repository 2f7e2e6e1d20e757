"""Verbs that make a project and bring scans and annotations into it: init, add, import."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from lens_engine.errors import LensError
from lens_engine.findings import Scope, Split
from lens_engine.store.catalog import Catalog
from lens_engine.store.exchange.importing import UNIVERSAL_DATASET
from lens_engine.store.exchange.ingest import add_scans, import_annotations
from lens_engine.store.new_project import create_project
from lens_napari.cli.context import Refusals, console, open_database, progress_bar


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the new project.")],
    name: Annotated[str | None, typer.Option(help="Name that readers see; the folder's by default.")] = None,
) -> None:
    """Make a new project, with the demo model as its first version."""
    database, model = create_project(folder, name)
    project = database.project
    console.print(f"Project {escape(project.settings.name)} in {escape(str(project.folder))}")
    console.print(f"[yellow]{escape(model.notice)}[/]")


def add(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Folders or files with CT scans.")],
    dataset: Annotated[str, typer.Option(help="Data set that the scans belong to.")] = UNIVERSAL_DATASET,
    lesion_type: Annotated[
        str | None, typer.Option(help="For a new data set: the one type of lesion that is completely labelled in it.")
    ] = None,
    split: Annotated[
        Split | None, typer.Option(help="For new patients: train, val or test; by a stable hash when not given.")
    ] = None,
) -> None:
    """Add CT scans: DICOM folders, NIfTI, MHD and NRRD files, DeepLesion PNG folders."""
    database = open_database(context)
    if lesion_type is not None:
        Catalog(database).add_dataset(dataset, Scope.SINGLE_TYPE, lesion_type)
    refusals = Refusals()
    with progress_bar() as progress:
        task = progress.add_task("Reading headers", total=None)
        report = add_scans(
            database,
            paths,
            dataset,
            split,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    for record in report.added:
        depth, height, width = record.geometry.shape if record.geometry is not None else (0, 0, 0)
        console.print(f"  {record.name}  {width}x{height}x{depth}  {escape(record.description)}", highlight=False)
    for note in report.notes:
        console.print(f"[yellow]Note:[/] {escape(note)}")
    refusals.add_all(report.problems)
    skipped = ", ".join(f"{count} {reason}" for reason, count in sorted(report.skipped.items()))
    console.print(
        f"{len(report.added)} series added to {dataset}, {report.known} known already"
        + (f"; skipped: {escape(skipped)}" if skipped else "")
    )
    refusals.exit_if_any()


def import_(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="DL_info.csv, manual test set, instance mask or RTSTRUCT.")],
    series: Annotated[
        str | None, typer.Option(help="Series that a mask or contour belongs to; found by its geometry when not given.")
    ] = None,
    lesion_type: Annotated[str | None, typer.Option(help="Type of the lesions, where the file does not say.")] = None,
) -> None:
    """Import annotations: DeepLesion's csv, the published manual test set, instance masks, RTSTRUCT."""
    database = open_database(context)
    refusals = Refusals()
    for file in files:
        try:
            report = import_annotations(database, file, series, lesion_type)
        except LensError as error:
            refusals.add(error)
            continue
        console.print(f"{escape(file.name)}: {escape(report.summary)}", highlight=False)
    refusals.exit_if_any()


VERBS = {"init": init, "add": add, "import": import_}
