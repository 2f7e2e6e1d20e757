"""Whose jobs database it is, where the settings name one: two projects in one would do each other's jobs."""

import sqlalchemy

from lens_engine.database_url import within_reach
from lens_engine.errors import JobError
from lens_engine.project import Project

OWNER_TABLE = "lens_project"
"""Says whose jobs a database holds."""
_PROJECT_TABLE = "project_identity"
"""Of a project whose jobs lie beside its own tables."""


def refuse_jobs_of_others(project: Project) -> None:
    """Make a jobs database, whose tables there are, that of a project; refuse the one of another project.

    A database in the project's folder needs no look. One that holds the tables of a project is for its jobs alone.

    Raises
    ------
    JobError
        If it belongs to another project.
    """
    url = project.settings.jobs_database_url
    if url is None:
        return
    engine = sqlalchemy.create_engine(within_reach(url))
    try:
        owner = _owner(engine, str(project.identity))
    finally:
        engine.dispose()
    if owner != str(project.identity):
        raise JobError(
            f"The jobs database of the folder {project.folder} belongs to another project",
            "Each project has a queue of its own, or workers would do each other's jobs",
            "Correct jobs_database_url in lens.yaml; the database was not changed",
        )


def _owner(engine: sqlalchemy.Engine, identity: str) -> str:
    """Return who owns a jobs database: who asks, where nobody did."""
    tables = sqlalchemy.inspect(engine)
    for table in (OWNER_TABLE, _PROJECT_TABLE):
        if tables.has_table(table):
            return _identity_in(table, engine) or identity
    with engine.begin() as connection:
        connection.execute(
            sqlalchemy.text(f"CREATE TABLE IF NOT EXISTS {OWNER_TABLE} (id INTEGER PRIMARY KEY, identity VARCHAR(36))")
        )
        connection.execute(
            sqlalchemy.text(f"INSERT INTO {OWNER_TABLE} VALUES (1, :identity) ON CONFLICT (id) DO NOTHING"),
            {"identity": identity},
        )
    return _identity_in(OWNER_TABLE, engine) or identity


def _identity_in(table: str, engine: sqlalchemy.Engine) -> str | None:
    with engine.connect() as connection:
        found = connection.scalar(sqlalchemy.text(f"SELECT identity FROM {table}"))
    return None if found is None else str(found)
