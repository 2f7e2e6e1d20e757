"""Make the tables of a project, or bring them to the newest revision.

Only `lens_engine.store.database` loads it, and only when there is something to do: Alembic takes longer to load than
most commands take to run, and is needed once for each new version.
"""

from threading import Lock

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from lens_engine.store.opening.revisions import MIGRATIONS

_ONE_AT_A_TIME = Lock()
"""Alembic keeps the migration in work in its module: two threads of one process have to take turns."""


def upgrade(connection: Connection) -> None:
    """Run the migrations that a database lacks, in the transaction of a connection."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _ONE_AT_A_TIME:
        command.upgrade(config, "head")
