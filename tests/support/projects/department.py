"""A project of a department: its data and its jobs in a PostgreSQL database, as `lens.yaml` names it."""

from pathlib import Path

from lens_engine.findings import Scope
from lens_engine.project import Project, ProjectSettings
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database


def make_department(folder: Path, url: str) -> Database:
    """Make a project in `folder` on the empty database of a URL, and open it."""
    settings = ProjectSettings(name="department", split_salt="salt", database_url=url, jobs_database_url=url)
    database = Database.create(Project.create(folder, settings=settings))
    Catalog(database).add_dataset("universal", Scope.UNIVERSAL)
    return database
