"""A jobs database that does not answer for a while."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from lens_engine.project import Project


@contextmanager
def unreachable(project: Project) -> Iterator[None]:
    """Take the table of jobs away for a while."""
    file = project.jobs_database_url.removeprefix("sqlite:///")

    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(file, timeout=30)) as connection:
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")
            connection.commit()

    rename("workflow_status", "hidden")
    try:
        yield
    finally:
        rename("hidden", "workflow_status")
