"""Which tables a database has, by the name of the migration that made them; needs nothing that makes any."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from lens_engine.errors import StoreError

MIGRATIONS = Path(__file__).parents[1] / "migrations"
_TABLE = "alembic_version"


def known_revisions() -> tuple[str, ...]:
    """Return what this version of LENS-napari knows, oldest first: the files of `migrations/versions`."""
    return tuple(sorted(path.stem.partition("_")[0] for path in (MIGRATIONS / "versions").glob("r*.py")))


def newest_revision() -> str:
    """Return the revision that this version of LENS-napari works with."""
    return known_revisions()[-1]


def revision_of(connection: Connection) -> str | None:
    """Return the revision of a database, whoever made it; None where it holds no project."""
    if not inspect(connection).has_table(_TABLE):
        return None
    found = connection.scalar(text(f"SELECT version_num FROM {_TABLE}"))
    return None if found is None else str(found)


def usable_revision_of(connection: Connection) -> str | None:
    """Return the same of a database that is used.

    Raises
    ------
    StoreError
        If a newer version of LENS-napari has made its tables.
    """
    current = revision_of(connection)
    if current is not None and current not in known_revisions():
        raise StoreError(
            f"The project's database has schema revision {current}",
            f"This version of LENS-napari knows {', '.join(known_revisions())}",
            "Update LENS-napari: pip install --upgrade lens-napari; the project was not changed",
        )
    return current
