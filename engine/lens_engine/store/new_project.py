"""Make a project that can be used at once: its database, the universal data set and the demo model."""

from pathlib import Path

from lens_engine.findings import Scope
from lens_engine.project import Project
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.exchange.importing import UNIVERSAL_DATASET
from lens_engine.store.models.model_versions import ModelRecord, register_demo_model


def create_project(folder: Path, name: str | None = None) -> tuple[Database, ModelRecord]:
    """Make a project in `folder`; return its opened database and the demo model, which is promoted.

    Raises
    ------
    ProjectError
        If there is a project already, or the folder cannot be written.
    """
    database = Database.open(Project.create(folder, name))
    Catalog(database).add_dataset(UNIVERSAL_DATASET, Scope.UNIVERSAL)
    return database, register_demo_model(database)
