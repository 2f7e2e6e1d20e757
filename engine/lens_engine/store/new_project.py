"""Make a project that can be used at once: its databases, the universal data set and the demo model."""

from contextlib import suppress
from pathlib import Path

from lens_engine.errors import LensError
from lens_engine.findings import Scope
from lens_engine.jobs.ownership import refuse_jobs_of_others
from lens_engine.jobs.queue import create_tables
from lens_engine.project import Project, ProjectSettings
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database, connect, holds_a_project, refuse_used
from lens_engine.store.exchange.importing import UNIVERSAL_DATASET
from lens_engine.store.models.model_versions import ModelRecord, Models, register_demo_model
from lens_engine.store.opening.place import PLACE_NAME


def create_project(
    folder: Path, name: str | None = None, settings: ProjectSettings | None = None
) -> tuple[Database, ModelRecord]:
    """Make a project in `folder`; return its opened database and the demo model, which is promoted.

    Parameters
    ----------
    settings
        As `Project.create` takes them, for example with the URLs of a PostgreSQL server.

    Raises
    ------
    ProjectError
        If there is a project already, or the folder cannot be written.
    StoreError, JobError
        If a database cannot be used or holds a project; the folder is no project then.
    """
    project = Project.create(folder, name, settings)
    try:
        refuse_used(project.database_url)
        prepare_queue(project)
        database = Database.create(project)
    except LensError:
        _take_back(project)
        raise
    return database, _with_what_ships(database)


def prepare_project(project: Project) -> tuple[Database, ModelRecord]:
    """Give a project folder the databases that its settings name; those that it has stay as they are.

    For a folder whose `database_url` was changed to an empty database, or whose making was interrupted.

    Raises
    ------
    StoreError, JobError
        If a database cannot be used, or belongs to another project.
    """
    engine = connect(project.database_url)
    try:
        is_prepared = holds_a_project(engine)
    finally:
        engine.dispose()
    if not is_prepared:
        refuse_used(project.database_url)
    prepare_queue(project)
    database = Database.open(project) if is_prepared else Database.create(project)
    return database, _with_what_ships(database)


def prepare_queue(project: Project) -> None:
    """Give a project a job queue where it has none.

    Raises
    ------
    JobError
        If the jobs database cannot be used, or belongs to another project.
    """
    create_tables(project.jobs_database_url)
    refuse_jobs_of_others(project)


def _take_back(project: Project) -> None:
    """Make a folder no project again; what is not empty in it stays."""
    project.settings_file.unlink()
    (project.folder / PLACE_NAME).unlink(missing_ok=True)
    for folder in project.folders:
        with suppress(OSError):  # something is in it
            folder.rmdir()


def _with_what_ships(database: Database) -> ModelRecord:
    Catalog(database).add_dataset(UNIVERSAL_DATASET, Scope.UNIVERSAL)
    return Models(database).find_promoted() or register_demo_model(database)
