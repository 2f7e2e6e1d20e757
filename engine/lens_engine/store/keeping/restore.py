"""Restore a backup into a new folder, with SQLite in it or on an empty PostgreSQL database: all of it, or nothing.

Every byte is compared with its checksum before the folder gets its name.
"""

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from sqlalchemy import delete

from lens_engine.errors import ProjectError, StoreError
from lens_engine.io.atomic_files import flush_folder, name_folder, unnamed_folder
from lens_engine.project import SETTINGS_NAME, Project, with_databases
from lens_engine.store.database import (
    Database,
    connect,
    filling,
    holds_a_project,
    refuse_network_share,
    refuse_used,
    whose,
)
from lens_engine.store.keeping.archive import DATABASE_NAME, Manifest, damaged, extract, read_manifest, reading_archive
from lens_engine.store.keeping.table_copies import copy_tables
from lens_engine.store.new_project import prepare_queue
from lens_engine.store.opening.place import remember_place
from lens_engine.store.schema import WorkerRow


def restore(path: Path, folder: Path, database_url: str | None = None, jobs_database_url: str | None = None) -> Project:
    """Make the project folder `folder` from the backup at `path`; return the project.

    Parameters
    ----------
    database_url, jobs_database_url
        Empty PostgreSQL databases for the project and its jobs; None is SQLite in the folder, whatever the project that
        was backed up had.

    Raises
    ------
    StoreError, JobError
        If the backup is damaged, the folder or the database is not empty, a database cannot be used, or the disk
        refuses. Nothing is left then, and the next try finds what this one found.
    ProjectError
        If a URL cannot be used.
    """
    folder = folder.expanduser().resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is not empty", "A new or an empty folder", "Choose another one")
    if database_url is None:
        refuse_network_share(folder / DATABASE_NAME, psutil.disk_partitions(all=True))
    try:
        with reading_archive(path) as archive, unnamed_folder(folder.parent) as unnamed:
            _extract_all(archive, path, read_manifest(archive, path), unnamed)
            project = with_databases(_open_settings(unnamed, path), database_url, jobs_database_url)
            project.write_settings()
            _prepare_databases(replace(project, folder=folder))
            if database_url is None:
                _open_database(project, path).close()
            else:
                _move_database(project, path, folder)
            flush_folder(unnamed)
            if folder.exists():
                folder.rmdir()
            name_folder(unnamed, folder)
    except OSError as error:
        raise StoreError(
            f"The backup cannot be restored to {folder} ({error.strerror or error})",
            "A folder with write access, on a disk with free space",
            "Free space or choose another folder; nothing was restored",
        ) from error
    return Project.open(folder)


def _extract_all(archive: zipfile.ZipFile, path: Path, manifest: Manifest, folder: Path) -> None:
    for name in (SETTINGS_NAME, DATABASE_NAME):
        if name not in manifest.files:
            raise damaged(path, f"it holds no {name}")
    for name, expected in manifest.files.items():
        if not extract(archive, name, expected, folder / name):
            raise damaged(path, f"{name} is not what was written")


def _prepare_databases(project: Project) -> None:
    """Refuse what the settings name before anything is written to it, and make the tables of the queue there."""
    if project.settings.database_url is not None:
        refuse_used(project.database_url)
    if project.settings.jobs_database_url is not None:
        prepare_queue(project)


def _open_settings(folder: Path, path: Path) -> Project:
    try:
        return Project.open(folder)
    except ProjectError as error:
        raise StoreError(
            f"The settings in the backup {path} cannot be used",
            "Settings that this version of LENS-napari, or an older one, has written",
            "Update LENS-napari (pip install --upgrade lens-napari), or use another backup; nothing was restored",
        ) from error


def _open_database(project: Project, path: Path) -> Database:
    """Upgrade the database of a backup, before anyone sees it, and let go of the workers of where it comes from."""
    _check_database(project, path)
    database = Database.open(project)
    with database.session() as session:
        session.execute(delete(WorkerRow))
    return database


def _check_database(project: Project, path: Path) -> None:
    engine = connect(project.database_url)
    try:
        is_empty, identity = not holds_a_project(engine), whose(engine)
    except StoreError as error:
        raise damaged(path, "its database cannot be read") from error
    finally:
        engine.dispose()
    if is_empty:
        raise damaged(path, "its database is empty")
    if identity not in (None, str(project.identity)):
        raise damaged(path, "its database belongs to another project than its settings")


def _move_database(project: Project, path: Path, folder: Path) -> None:
    """Move the extracted database to where the settings say, in one transaction; it knows the folder as it will be.

    The folder of a project on PostgreSQL may lie on a share, which SQLite cannot work on.
    """
    with TemporaryDirectory() as own:
        embedded = with_databases(replace(project, folder=Path(own)), None, None)
        shutil.move(project.store_folder, embedded.store_folder)
        project.store_folder.mkdir()
        database, target = _open_database(embedded, path), connect(project.database_url)
        try:
            with database.connected() as source, filling(target) as connection:
                copy_tables(source, connection)
                remember_place(connection, project, folder)
        finally:
            database.close()
            target.dispose()
