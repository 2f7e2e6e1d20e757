"""The project's database: opened, migrated, and used through short transactions.

SQLite by default (WAL, `synchronous=FULL`, foreign keys, patient with other writers); a PostgreSQL URL works the same.
Every writer takes the write lock when its transaction begins, so that two processes wait for each other instead of
failing half way.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import psutil
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from lens_engine.errors import StoreError
from lens_engine.project import Project

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_SECONDS = 30
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs", "webdav", "davfs", "fuse.sshfs", "fuse.davfs"}
)
_MIGRATION_LOCK = 7_215_301
_ONE_MIGRATION = Lock()
"""Alembic keeps the migration in work in its module: two threads of one process have to take turns."""
_READING = "lens_reading"


class Partition(Protocol):
    """What `psutil.disk_partitions` says about one mounted file system."""

    @property
    def mountpoint(self) -> str:
        """Folder it is mounted at."""

    @property
    def fstype(self) -> str:
        """Kind of file system."""


@dataclass(frozen=True, slots=True)
class Database:
    """An opened database of one project; safe to use from several threads.

    Attributes
    ----------
    moment
        The transaction that every read is part of, for one thread; None gives each read its own. See `at_one_moment`.
    """

    project: Project
    engine: Engine
    moment: Connection | None = None

    @classmethod
    def open(cls, project: Project) -> "Database":
        """Open the database of `project`, creating or upgrading its tables.

        Raises
        ------
        StoreError
            If it lies on a network share, cannot be opened, or is of a newer version, which is left as it is.
        """
        url = make_url(project.database_url)
        if url.get_backend_name() == "sqlite":
            if not url.database:
                raise StoreError("The database URL names no file", "sqlite:////folder/name.sqlite", "Correct lens.yaml")
            refuse_network_share(Path(url.database), psutil.disk_partitions(all=True))
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        else:
            engine = create_engine(url, pool_pre_ping=True)
        try:
            with _store_errors():
                _migrate(engine)
        except StoreError:
            engine.dispose()
            raise
        return cls(project, engine)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yield a session that may write: committed when the block ends, rolled back when it raises.

        Raises
        ------
        StoreError
            If the database refuses, is busy for too long, or the disk is full; nothing of the block is stored then.
        """
        with _store_errors(), Session(self.engine) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session that only reads: it waits for no writer and sees one moment of the database."""
        with _store_errors(), Session(self._reader() if self.moment is None else self.moment) as session:
            yield session

    @contextmanager
    def at_one_moment(self) -> Iterator["Database"]:
        """Yield this database for several reads that see one and the same moment of it, whatever others write."""
        with _store_errors(), self._reader().connect() as connection, connection.begin():
            yield replace(self, moment=connection)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _reader(self) -> Engine:
        # SQLite's transactions see one moment by themselves.
        isolation = {} if self.engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        return self.engine.execution_options(**{_READING: True}, **isolation)


def refuse_network_share(path: Path, partitions: Sequence[Partition]) -> None:
    """Raise where `path` lies on a network share, whose locks SQLite cannot trust.

    Raises
    ------
    StoreError
        If the file system of the deepest mount point above `path` is a network one.
    """
    path = path.resolve()
    above = [item for item in partitions if path.is_relative_to(item.mountpoint)]
    if not above:
        return
    deepest = max(above, key=lambda item: len(Path(item.mountpoint).parts))
    if deepest.fstype.lower() in NETWORK_FILE_SYSTEMS:
        raise StoreError(
            f"The SQLite database {path} lies on a network share ({deepest.fstype} at {deepest.mountpoint})",
            "SQLite needs a local disk: its locks do not hold over a network",
            "Put the project on a local disk, or set database_url in lens.yaml to a PostgreSQL database",
        )


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    is_reading = connection.get_execution_options().get(_READING, False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    head = script.get_current_head()
    with engine.execution_options(**{_READING: True}).connect() as connection:
        if _current_revision(connection, script) == head:
            return
    with _ONE_MIGRATION, engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        if _current_revision(connection, script) != head:  # another process may have been faster
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _current_revision(connection: Connection, script: ScriptDirectory) -> str | None:
    current = MigrationContext.configure(connection).get_current_revision()
    known = {revision.revision for revision in script.walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(
            f"The project's database has schema revision {current}",
            f"This version of LENS-napari knows {', '.join(sorted(known))}",
            "Update LENS-napari: pip install --upgrade lens-napari; the project was not changed",
        )
    return current


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _explain(str(error.orig)) from error
    except SQLAlchemyError as error:
        raise StoreError(
            f"The database refused ({type(error).__name__}: {error})", "A valid request", "Report this as a defect"
        ) from error


def _explain(message: str) -> StoreError:
    lowered = message.lower()
    if "is full" in lowered or "no space" in lowered or "disk i/o error" in lowered:
        return StoreError(
            f"The database cannot be written ({message})",
            "A disk with free space and write access",
            "Free space on the disk of the project; nothing of this step was stored",
        )
    if "locked" in lowered:
        return StoreError(
            f"The database was busy for more than {BUSY_TIMEOUT_SECONDS} s",
            "One writer at a time, each for a moment",
            "Try again; if it stays busy, look for a program that hangs",
        )
    if "append-only" in lowered:
        return StoreError(
            "A stored decision was to be changed or deleted", "Decisions are append-only", "Add a new decision instead"
        )
    if "not a database" in lowered or "malformed" in lowered:
        return StoreError(
            f"The project's database is damaged ({message})", "An intact SQLite file", "Restore it from a backup"
        )
    if "readonly" in lowered or "unable to open" in lowered:
        return StoreError(
            f"The database cannot be opened for writing ({message})",
            "Write access to the project folder",
            "Correct the permissions or copy the project",
        )
    return StoreError(
        f"The database refused ({message})", "A valid request", "Run `lens doctor`; report it if it repeats"
    )


def in_portions(ids: Sequence[int], size: int = 500) -> Iterator[Sequence[int]]:
    """Cut a list that goes into statements: databases limit the values of one."""
    return (ids[start : start + size] for start in range(0, len(ids), size))
