"""Back up a project while others use it: database, settings, models, detections, snapshots and exports in one file.

The database comes first, as it is at one moment; files are complete before a row names them, so all that this moment
knows is in the backup. The copy of the database is SQLite, whatever the project runs on, and lies in the folder for
temporary files until it is in the backup, which may lie on a share.
"""

import io
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import false

from lens_engine.errors import StoreError
from lens_engine.io.atomic_files import is_part, replacement_of
from lens_engine.project import SETTINGS_NAME, Project
from lens_engine.store.database import Database, connect, filling
from lens_engine.store.keeping.archive import DATABASE_NAME, ArchiveWriter, Manifest
from lens_engine.store.keeping.table_copies import copy_tables
from lens_engine.store.schema import ProjectPlaceRow

LEFT_OUT = {
    "scans": "they stay where they are, also those inside the project folder; back them up where they lie",
    "job queue and jobs/": "a job would be done twice otherwise; what jobs have stored is in the backup",
}
"""What of a project no backup holds, and why."""


def back_up(database: Database, path: Path) -> Manifest:
    """Write a project to a new file at `path`, which appears when it is complete; return what is in it.

    Raises
    ------
    StoreError
        If there is a file already, the project's folder is around it, or the disk refuses; nothing is left at `path`
        then.
    """
    if path.expanduser().resolve().is_relative_to(database.project.folder):
        raise StoreError(
            f"{path} lies inside the project",
            "A place that is not lost with the project, and not in the next backup",
            "Choose a folder outside of it, best on another disk",
        )
    if path.exists():
        raise StoreError(f"{path} exists already", "A new file for each backup", "Choose another name")
    try:
        with (
            TemporaryDirectory() as scratch,
            replacement_of(path) as unfinished,
            zipfile.ZipFile(unfinished, "w") as archive,
        ):
            made_at = datetime.now(UTC)
            copy = Path(scratch) / "lens.sqlite"
            _copy_database(database, copy)
            return _write(archive, database.project, copy, made_at)
    except OSError as error:
        raise StoreError(
            f"The backup {path} cannot be written ({error.strerror or error})",
            "A folder with write access, on a disk with free space",
            "Free space or choose another folder; the project was not changed",
        ) from error


def _write(archive: zipfile.ZipFile, project: Project, database_copy: Path, made_at: datetime) -> Manifest:
    writer = ArchiveWriter(archive)
    with database_copy.open("rb") as file:
        writer.add(DATABASE_NAME, file)
    for path in _files(project):
        with suppress(FileNotFoundError), path.open("rb") as file:  # a sweep has just removed it: no row knew it
            writer.add(path.relative_to(project.folder).as_posix(), file)
    settings = project.settings.model_dump_json(indent=1).encode()
    writer.add(SETTINGS_NAME, io.BytesIO(settings))  # JSON is YAML, too
    manifest = Manifest(
        project=project.settings.name,
        identity=project.identity,
        made_at=made_at,
        files=writer.files,
        left_out=LEFT_OUT,
    )
    writer.finish(manifest)
    return manifest


def _files(project: Project) -> Iterator[Path]:
    folders = (
        project.detections_folder,
        project.models_folder,
        project.embedding_folder,
        project.snapshots_folder,
        project.exports_folder,
        project.unsaid_folder,
    )
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not is_part(path.relative_to(project.folder)):
                yield path


def _copy_database(database: Database, target: Path) -> None:
    if database.engine.dialect.name == "sqlite":
        _copy_sqlite(Path(str(database.engine.url.database)), target)
        return
    engine = connect(f"sqlite:///{target}")
    try:
        with database.connected() as source, filling(engine) as connection:
            of_the_folder = {ProjectPlaceRow.__tablename__: false()}
            copy_tables(source, connection, of_the_folder)
    finally:
        engine.dispose()


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database that others use, as it is at one moment; no writer waits for it."""
    try:
        with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new)
    except sqlite3.Error as error:
        raise StoreError(
            f"The database {source} cannot be copied ({error})",
            "An intact database, and free space for temporary files",
            "Run 'lens doctor'; nothing was written",
        ) from error
