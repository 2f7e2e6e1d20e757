"""Verbs that make a project and bring scans and annotations into it: init, add, import."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from lens_engine.errors import LensError, ProjectError
from lens_engine.findings import Scope, Split
from lens_engine.project import Project, new_settings
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import follow_moved_folder
from lens_engine.store.exchange.importing import UNIVERSAL_DATASET
from lens_engine.store.exchange.ingest import add_scans, import_annotations
from lens_engine.store.new_project import create_project, prepare_project
from lens_napari.cli.context import Refusals, console, open_database, progress_bar


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the new project.")],
    name: Annotated[str | None, typer.Option(help="Name that readers see; the folder's by default.")] = None,
    database_url: Annotated[
        str | None,
        typer.Option(help="PostgreSQL for the project, without a password; SQLite in the folder by default."),
    ] = None,
    jobs_url: Annotated[
        str | None, typer.Option(help="PostgreSQL for the jobs; that of the project by default, beside its tables.")
    ] = None,
    existing: Annotated[
        bool, typer.Option("--existing", help="Give a project folder the databases that its lens.yaml names.")
    ] = False,
    moved: Annotated[
        bool, typer.Option("--moved", help="Tell a project's PostgreSQL database that its folder was moved here.")
    ] = False,
) -> None:
    """Make a new project, with the demo model as its first version."""
    if moved:
        _refuse_names_for_existing(name, database_url, jobs_url)
        project = Project.open(folder)
        follow_moved_folder(project)
        console.print(f"The database of {escape(project.settings.name)} follows it to {escape(str(project.folder))}")
        return
    if existing:
        _refuse_names_for_existing(name, database_url, jobs_url)
        database, model = prepare_project(Project.open(folder))
    else:
        settings = new_settings(name or folder.resolve().name or "project", database_url, jobs_url or database_url)
        database, model = create_project(folder, settings=settings)
    project = database.project
    console.print(f"Project {escape(project.settings.name)} in {escape(str(project.folder))}")
    if project.settings.database_url is not None:
        console.print(f"Database {escape(project.database_url)}")
    if model.notice:
        console.print(f"[yellow]{escape(model.notice)}[/]")


def _refuse_names_for_existing(*given: str | None) -> None:
    if any(value is not None for value in given):
        raise ProjectError(
            "A project folder has its name and its databases from lens.yaml",
            "--existing and --moved without --name, --database-url and --jobs-url",
            "Write them into lens.yaml, then run the command without them",
        )


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
        told = escape("  ".join(filter(None, (record.description, _given_as(record)))))
        console.print(f"  {record.name}  {width}x{height}x{depth}  {told}", highlight=False)
    for note in report.notes:
        console.print(f"[yellow]Note:[/] {escape(note)}")
    refusals.add_all(report.problems)
    skipped = ", ".join(f"{count} {reason}" for reason, count in sorted(report.skipped.items()))
    console.print(
        f"{len(report.added)} series added to {dataset}, {report.known} known already"
        + (f"; skipped: {escape(skipped)}" if skipped else "")
    )
    refusals.exit_if_any()


def _given_as(record: SeriesRecord) -> str:
    """Return the name of a series' file or folder, for the one who gave it and on that console alone."""
    if record.source is None:
        return ""
    first = record.source.paths[0]
    return first.name if len(record.source.paths) == 1 else first.parent.name


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
