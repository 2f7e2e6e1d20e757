"""Who may do what in a project on PostgreSQL: three roles, which the server enforces for the users that it knows.

On SQLite a role is advice alone: whoever may write the folder may do everything.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial

from sqlalchemy import Connection, text

from lens_engine.errors import StoreError
from lens_engine.jobs.queue import JOBS_SCHEMA
from lens_engine.store.database import Database
from lens_engine.store.readings.records import ReadingRound


class Role(StrEnum):
    """What a user of the database may do."""

    READER = "reader"
    """See everything; decide, comment, read the test set in the first round, and say that a series is complete."""
    ADJUDICATOR = "adjudicator"
    """What a reader may, and settle where two readings differ."""
    ADMINISTRATOR = "administrator"
    """Add scans, ask for jobs, run workers, choose the model. Tables are upgraded by their owner, who ran lens init."""


READER_ADDS = ("readers", "decisions", "readings", "reading_events")
"""Tables that readers append rows to."""
READER_CHANGES = {"series": "is_complete, test_set_part", "readers": "id"}
"""Columns that readers may write: what they say of a series, and one that lets them wait for others at their own row.

PostgreSQL locks a row only for those who may write to it; the key of a reader who has decided cannot be changed.
"""


def grant(database: Database, role: Role, user: str) -> None:
    """Let a user of the PostgreSQL server do what a role may, and nothing else of what another role of his could.

    Raises
    ------
    StoreError
        If the project is on SQLite, the server knows no such user, he owns the tables, or who asks does not own them.
    """
    _change_rights(database, user, partial(_statements, role))


def revoke(database: Database, user: str) -> None:
    """Take everything from a user of the PostgreSQL server that a role has given him; what he decided stays.

    Raises
    ------
    StoreError
        As `grant` does.
    """
    _change_rights(database, user, _revocations)


def _change_rights(database: Database, user: str, statements: Callable[[Connection, str], Iterator[str]]) -> None:
    if database.engine.dialect.name == "sqlite":
        raise StoreError(
            "SQLite knows no users: whoever may write the project folder may do everything",
            "A project on PostgreSQL, whose server tells users apart",
            "Give rights to the folder instead, or move the project: lens restore FILE DIR --database-url URL",
        )
    with database.session() as session:
        connection = session.connection()
        if connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :user"), {"user": user}) is None:
            raise StoreError(
                f"The server knows no user {user!r}",
                "A user that can log in to it",
                f"Make it there: createuser {user}",
            )
        if connection.scalar(text("SELECT tableowner FROM pg_tables WHERE tablename = 'decisions'")) == user:
            raise StoreError(
                f"{user!r} owns the tables of the project, and could not even open it with less",
                "A user to whom the owner gives a role",
                "Name another one; who owns the tables may do everything",
            )
        for statement in statements(connection, connection.dialect.identifier_preparer.quote(user)):
            connection.exec_driver_sql(statement)


def _statements(role: Role, connection: Connection, user: str) -> Iterator[str]:
    """Yield what makes of a user just what the role is; `user` is quoted."""
    schemas = _schemas(connection)
    yield from _revocations(connection, user)
    for schema in schemas:
        yield f"GRANT USAGE ON SCHEMA {schema} TO {user}"
        yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user}"
        yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {user}"
        if role is Role.ADMINISTRATOR:
            yield f"GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}"
            yield f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {user}"
    for schema in schemas if role is Role.ADMINISTRATOR else ("public",):
        yield f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {user}"
    if role is not Role.ADMINISTRATOR:
        yield f"GRANT INSERT ON {', '.join(READER_ADDS)} TO {user}"
        for table, columns in READER_CHANGES.items():
            yield f"GRANT UPDATE ({columns}) ON {table} TO {user}"
    yield from _policies(role, user)


def _revocations(connection: Connection, user: str) -> Iterator[str]:
    """Yield what leaves a user nothing of what a role has given him; `user` is quoted."""
    for schema in _schemas(connection):
        for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
            yield f"REVOKE ALL ON ALL {kind} IN SCHEMA {schema} FROM {user}"
        yield f"REVOKE ALL ON SCHEMA {schema} FROM {user}"
        yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} REVOKE ALL ON TABLES FROM {user}"
    for table, columns in READER_CHANGES.items():
        yield f"REVOKE UPDATE ({columns}) ON {table} FROM {user}"
    yield f"DROP POLICY IF EXISTS {_own_policy(user)} ON readings"


def _policies(role: Role, user: str) -> Iterator[str]:
    """Yield what lets only some users begin an adjudication; rows of readings are seen by all."""
    yield "ALTER TABLE readings ENABLE ROW LEVEL SECURITY"
    yield "DROP POLICY IF EXISTS seen ON readings"
    yield "CREATE POLICY seen ON readings FOR SELECT USING (true)"
    yield "DROP POLICY IF EXISTS independent ON readings"
    yield f"CREATE POLICY independent ON readings FOR INSERT WITH CHECK (round = {ReadingRound.INDEPENDENT.value})"
    if role is not Role.READER:
        yield f"CREATE POLICY {_own_policy(user)} ON readings FOR INSERT TO {user} WITH CHECK (true)"


def _own_policy(user: str) -> str:
    return f'"adjudicates {user.strip(chr(34))}"'


def _schemas(connection: Connection) -> tuple[str, ...]:
    return tuple(schema for schema in ("public", JOBS_SCHEMA) if _exists(connection, schema))


def _exists(connection: Connection, schema: str) -> bool:
    found = connection.scalar(text("SELECT 1 FROM pg_namespace WHERE nspname = :schema"), {"schema": schema})
    return found is not None
