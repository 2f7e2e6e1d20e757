"""Which work is in somebody's hands right now: one holder each, and the system lets go where he dies, however he dies.

On PostgreSQL a claim is an advisory lock of the database, which all hosts see; on SQLite, where all processes share one
host, it is a lock on one byte of a file of the project.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from lens_engine.errors import StoreError
from lens_engine.io.file_claims import claim_in_file, number_of
from lens_engine.store.database import Database

CLAIMS_FILE = "claims.lock"


@contextmanager
def claim(database: Database, work: str) -> Iterator[bool]:
    """Yield whether `work` is ours until the block ends; False where another process holds it.

    One at a time in each process: a file's locks belong to a process, and closing it once lets go of all of them.

    Raises
    ------
    StoreError
        If the database or the disk refuses.
    NoLocksError
        If the disk locks no files.
    """
    if database.engine.dialect.name == "postgresql":
        with _connection(database) as connection:
            yield from _claim_in_database(connection, number_of(work, bits=63))
    else:
        yield from _claim_in_folder(database, work)


@contextmanager
def _connection(database: Database) -> Iterator[Connection]:
    try:
        connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    except SQLAlchemyError as error:
        raise _refused(str(error)) from error
    with connection:
        yield connection


def _claim_in_database(connection: Connection, number: int) -> Iterator[bool]:
    try:
        is_ours = bool(connection.scalar(select(func.pg_try_advisory_lock(number))))
    except SQLAlchemyError as error:
        raise _refused(str(error)) from error
    try:
        yield is_ours
    finally:
        if is_ours:
            with suppress(SQLAlchemyError):  # the server has let go where the connection is lost
                connection.execute(select(func.pg_advisory_unlock(number)))


def _claim_in_folder(database: Database, work: str) -> Iterator[bool]:
    with ExitStack() as held:
        try:
            is_ours = held.enter_context(claim_in_file(database.project.store_folder / CLAIMS_FILE, work))
        except OSError as error:
            raise _refused(error.strerror or str(error)) from error
        yield is_ours


def _refused(reason: str) -> StoreError:
    return StoreError(
        f"What others are at cannot be seen ({reason})",
        "The project's database and folder have to answer",
        "Start the job again once they do; what is done stays",
    )
