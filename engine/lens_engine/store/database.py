"""The project's database: opened, migrated, and used through short transactions.

SQLite by default (WAL, `synchronous=FULL`, foreign keys, patient with other writers); a PostgreSQL URL works the same.
Every writer takes the write lock when its transaction begins, so that two processes wait for each other instead of
failing half way. Only `Database.create` makes tables where there are none; a database says which project it belongs to.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import psutil
from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from lens_engine.database_url import within_reach
from lens_engine.errors import StoreError
from lens_engine.jobs.ownership import OWNER_TABLE
from lens_engine.project import Project
from lens_engine.store.opening.place import knows_place, refuse_copy, remember_place
from lens_engine.store.opening.revisions import newest_revision, revision_of, usable_revision_of
from lens_engine.store.schema import Base, ProjectIdentityRow

BUSY_TIMEOUT_SECONDS = 30
ROWS_AT_A_TIME = 1000
"""How many are held of very many that are read."""
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs", "webdav", "davfs", "fuse.sshfs", "fuse.davfs"}
)
_MIGRATION_LOCK = 7_215_301
_UPGRADE = "lens_engine.store.opening.upgrade"
"""Loaded when a database lacks tables; see there."""
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
    def create(cls, project: Project) -> "Database":
        """Make the tables of a new project, and open them.

        Raises
        ------
        StoreError
            If the database holds a project already, or cannot be used.
        """
        with _opening(project) as engine:
            if _is_sqlite(engine):
                Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
            with filling(engine) as connection:
                _say_whose(connection, project)
                if not project.holds_its_database:
                    remember_place(connection, project)
        return cls(project, engine)

    @classmethod
    def open(cls, project: Project) -> "Database":
        """Open the database of `project`, upgrading its tables.

        Raises
        ------
        StoreError
            If it holds none, belongs to another project or to another folder of this one, lies on a network share,
            cannot be reached, or is of a newer version. It is left as it is.
        """
        with _opening(project) as engine:
            if not holds_a_project(engine):
                raise _empty(engine, project)
            if whose(engine) is not None:
                _check_identity(engine, project)
            _migrate(engine)
            _check_identity(engine, project)
            if not project.holds_its_database:
                _check_place(engine, project)
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
    def connected(self) -> Iterator[Connection]:
        """Yield a connection that only reads, and sees one moment of the database."""
        with _store_errors(), self._reader().connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def at_one_moment(self) -> Iterator["Database"]:
        """Yield this database for several reads that see one and the same moment of it, whatever others write."""
        with self.connected() as connection:
            yield replace(self, moment=connection)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _reader(self) -> Engine:
        # SQLite's transactions see one moment by themselves.
        isolation = {} if self.engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        return self.engine.execution_options(**{_READING: True}, **isolation)


def follow_moved_folder(project: Project) -> None:
    """Let the database of a project, which does not lie in its folder, know that the folder was moved to where it is.

    Raises
    ------
    StoreError
        If the database lies in the folder, holds none or another project, cannot be used, or the user may not do that.
    """
    if project.holds_its_database:
        raise StoreError(
            f"The database of the project lies in its folder {project.folder}",
            "A project on PostgreSQL, whose database is elsewhere",
            "Use the folder as it is: its database was moved with it",
        )
    with _opening(project) as engine:
        if not holds_a_project(engine):
            raise _empty(engine, project)
        _check_identity(engine, project)
        _migrate(engine)
        with engine.begin() as connection:
            remember_place(connection, project)
    engine.dispose()


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


def holds_a_project(engine: Engine) -> bool:
    """Return whether a database has the tables of a project; a missing file is not made.

    Raises
    ------
    StoreError
        If it cannot be reached or read.
    """
    if _is_sqlite(engine) and not Path(str(engine.url.database)).is_file():
        return False
    with _store_errors(), engine.execution_options(**{_READING: True}).connect() as connection:
        return revision_of(connection) is not None


def whose(engine: Engine) -> str | None:
    """Return the identity of the project that a database belongs to; None where it names none, as older versions do.

    Raises
    ------
    StoreError
        If it cannot be reached or read.
    """
    with _store_errors(), engine.execution_options(**{_READING: True}).connect() as connection:
        if not inspect(connection).has_table(ProjectIdentityRow.__tablename__):
            return None
        return connection.scalar(select(ProjectIdentityRow.identity))


def refuse_used(database_url: str) -> None:
    """Raise where no new project can have a database; nothing is written.

    Raises
    ------
    StoreError
        If it holds a project already or anything else but a job queue, or cannot be used.
    """
    engine = connect(database_url)
    try:
        if holds_a_project(engine):
            raise _used(engine)
        if tables := _tables_of_others(engine):
            raise StoreError(
                f"The database {_place(engine)} holds something else already (such as the table {tables[0]})",
                "An empty database for a new project",
                "Name another one; the database was not changed",
            )
    finally:
        engine.dispose()


@contextmanager
def filling(engine: Engine) -> Iterator[Connection]:
    """Yield a connection to an empty database that gets the tables of a project and what the block puts into them.

    It gets all of it or nothing.

    Raises
    ------
    StoreError
        If it holds a project already, or refuses.
    """
    with _store_errors(), engine.begin() as connection:
        _wait_for_migrations(connection)
        if usable_revision_of(connection) is not None:
            raise _used(engine)
        _upgrade(connection)
        yield connection


@contextmanager
def _opening(project: Project) -> Iterator[Engine]:
    """Yield the engine of a project's database, which is let go of where the block raises."""
    engine = connect(project.database_url)
    try:
        with _store_errors():
            yield engine
    except StoreError:
        engine.dispose()
        raise


def connect(database_url: str) -> Engine:
    """Return the engine of a database; nothing is opened or made before it is used.

    Raises
    ------
    StoreError
        If it is SQLite without a file or on a network share.
    """
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        if not url.database:
            raise StoreError("The database URL names no file", "sqlite:////folder/name.sqlite", "Correct lens.yaml")
        refuse_network_share(Path(url.database), psutil.disk_partitions(all=True))
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return create_engine(within_reach(database_url), pool_pre_ping=True)


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


def _is_sqlite(engine: Engine) -> bool:
    return bool(engine.dialect.name == "sqlite")


def _check_identity(engine: Engine, project: Project) -> None:
    """Refuse the database of another project; one that belongs to none yet is this project's from now on."""
    found = whose(engine)
    if found is None:
        with engine.begin() as connection:
            _say_whose(connection, project)
            found = connection.scalar(select(ProjectIdentityRow.identity))
    if found != str(project.identity):
        raise StoreError(
            f"The database {_place(engine)} belongs to another project than the folder {project.folder}",
            "Each project has a database of its own",
            "Correct database_url in lens.yaml; the database was not changed",
        )


def _check_place(engine: Engine, project: Project) -> None:
    """Refuse a copy of the project's folder; a database of an older version gets to know the first that it meets."""
    with engine.execution_options(**{_READING: True}).connect() as connection:
        if knows_place(connection):
            refuse_copy(connection, project)
            return
    with engine.begin() as connection:
        if not knows_place(connection):
            remember_place(connection, project)


def _say_whose(connection: Connection, project: Project) -> None:
    connection.execute(
        text("INSERT INTO project_identity (id, identity) VALUES (1, :identity) ON CONFLICT (id) DO NOTHING"),
        {"identity": str(project.identity)},
    )


def _tables_of_others(engine: Engine) -> list[str]:
    if _is_sqlite(engine) and not Path(str(engine.url.database)).is_file():
        return []
    with _store_errors(), engine.execution_options(**{_READING: True}).connect() as connection:
        return sorted(set(inspect(connection).get_table_names()) - {OWNER_TABLE})


def _used(engine: Engine) -> StoreError:
    return StoreError(
        f"The database {_place(engine)} holds a project already",
        "An empty database for a new project",
        "Name another one; the database was not changed",
    )


def _empty(engine: Engine, project: Project) -> StoreError:
    return StoreError(
        f"The database {_place(engine)} of the project {project.folder} is missing or empty",
        "The database that the project was made with: a new one would hide every decision",
        "Restore the project from a backup (lens restore FILE DIR). One that never had a database, or shall begin with "
        "an empty one, gets it with: "
        f"lens init --existing {project.folder}",
    )


def _place(engine: Engine) -> str:
    """Return where a database lies, in words: the file, or name and host."""
    if _is_sqlite(engine):
        return str(engine.url.database)
    host = engine.url.host or engine.url.query.get("host") or "this computer"
    return f"{engine.url.database or engine.url.username} on {host}"


def _migrate(engine: Engine) -> None:
    newest = newest_revision()
    with engine.execution_options(**{_READING: True}).connect() as connection:
        if usable_revision_of(connection) == newest:
            return
    with engine.begin() as connection:
        _wait_for_migrations(connection)
        if usable_revision_of(connection) != newest:  # another process may have been faster
            _upgrade(connection)


def _wait_for_migrations(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})


def _upgrade(connection: Connection) -> None:
    import_module(_UPGRADE).upgrade(connection)


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise explain(str(error.orig)) from error
    except SQLAlchemyError as error:
        raise StoreError(
            f"The database refused ({type(error).__name__}: {error})", "A valid request", "Report this as a defect"
        ) from error


def explain(message: str) -> StoreError:
    """Return what people are told in place of a message of SQLite or PostgreSQL."""
    lowered = message.lower()
    for signs, happened, expected, remedy in _EXPLANATIONS:
        if any(sign in lowered for sign in signs):
            return StoreError(happened.format(message=" ".join(message.split())), expected, remedy)
    return StoreError(
        f"The database refused ({message})", "A valid request", "Run `lens doctor`; report it if it repeats"
    )


_EXPLANATIONS = (
    (
        ("is full", "no space", "disk i/o error"),
        "The database cannot be written ({message})",
        "A disk with free space and write access",
        "Free space on the disk of the project; nothing of this step was stored",
    ),
    (
        ("database is locked", "table is locked"),
        f"The database was busy for more than {BUSY_TIMEOUT_SECONDS} s",
        "One writer at a time, each for a moment",
        "Try again; if it stays busy, look for a program that hangs",
    ),
    (
        ("append-only",),
        "A stored decision was to be changed or deleted",
        "Decisions are append-only",
        "Add a new decision instead",
    ),
    (
        ("not a database", "malformed"),
        "The project's database is damaged ({message})",
        "An intact SQLite file",
        "Restore the project from a backup: lens restore FILE DIR",
    ),
    (
        ("readonly", "unable to open"),
        "The database cannot be opened for writing ({message})",
        "Write access to the project folder",
        "Correct the permissions or copy the project",
    ),
    (
        ("permission denied for schema public", "permission denied for database"),
        "The database does not let this user make the tables of a project ({message})",
        "The owner of the database makes them, and upgrades them with LENS-napari",
        "Give the database to the user who shall own the project: createdb -O USER NAME",
    ),
    (
        ("permission denied", "must be owner", "row-level security"),
        "The database does not let this user do that ({message})",
        "A user whose role in this project may",
        "Ask who made the project for the role: lens grant ROLE USER",
    ),
    (
        ("no encryption", "ssl off"),
        "The database server takes encrypted connections only ({message})",
        "A connection that asks for encryption",
        "Add ?sslmode=require to database_url in lens.yaml, or better ?sslmode=verify-full",
    ),
    (
        ("certificate", "does not support ssl"),
        "The database server cannot be trusted as database_url asks ({message})",
        "A server with a certificate that can be checked, by the name that stands in it",
        "Put the certificate of who has signed it into ~/.postgresql/root.crt, or name its file in PGSSLROOTCERT, and "
        "name the server in database_url as its certificate does",
    ),
    (
        ("password", "authentication failed", "pg_hba.conf", 'role "'),
        "The database does not let this user in ({message})",
        "A user that it knows, with the password in ~/.pgpass or PGPASSWORD",
        "Correct the user in database_url in lens.yaml, or the password",
    ),
    (
        ('" does not exist', "invalid dsn", "invalid connection option", "invalid sslmode"),
        "The database cannot be used ({message})",
        "A database that exists, named by database_url in lens.yaml",
        "Make it on the server (createdb NAME), or correct database_url",
    ),
    (
        ("connection", "could not translate host name", "failed to resolve host", "server closed", "timeout"),
        "The database cannot be reached ({message})",
        "A PostgreSQL server that runs, at the host that database_url in lens.yaml names",
        "Start the server or correct database_url; what was stored is still there",
    ),
)
"""What the messages of SQLite and PostgreSQL contain, and what is said instead; the first that fits."""


def wait_for_other_writers(session: Session, table: type[Base]) -> None:
    """Let nobody else write to a table before the session ends, for one who adds what he has not found there.

    SQLite has one writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"LOCK TABLE {table.__tablename__} IN SHARE ROW EXCLUSIVE MODE"))


def in_portions(ids: Sequence[int], size: int = 500) -> Iterator[Sequence[int]]:
    """Cut a list that goes into statements: databases limit the values of one."""
    return (ids[start : start + size] for start in range(0, len(ids), size))
