"""Database URLs as the settings of a project hold them: SQLite or PostgreSQL, without a password."""

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

POSTGRESQL = "postgresql+psycopg"
"""Scheme with the one PostgreSQL driver that comes with the package."""
REACH_SECONDS = 5
"""How long a database server may take to answer a connection."""
_EXAMPLE = f"{POSTGRESQL}://user@host/name"


def usable_url(url: str) -> str:
    """Return a URL with the driver that is installed; what else it says (`?sslmode=require`) stays as it is.

    Raises
    ------
    ValueError
        If it is no URL, of another kind of database, an SQLite file whose folder would be that of the process, or holds
        a password. The message never repeats the URL.
    """
    scheme, separator, rest = url.partition("://")
    kind = scheme.partition("+")[0]
    if kind == "postgres":
        raise ValueError(f"begins with postgres://, which names no driver; write {_EXAMPLE}")
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise ValueError(f"is not a database URL such as {_EXAMPLE}") from error
    if kind not in ("postgresql", "sqlite"):
        raise ValueError(f"is not a URL of PostgreSQL or SQLite, such as {_EXAMPLE}")
    if parsed.password is not None or any("password" in key.lower() for key in parsed.query):
        raise ValueError("contains a password; keep it in ~/.pgpass or PGPASSWORD, never in the project")
    if kind == "postgresql":
        return f"{POSTGRESQL}{separator}{rest}"
    if scheme != "sqlite" or parsed.database is None or not Path(parsed.database).is_absolute():
        raise ValueError("names no file with its whole path, such as sqlite:////folder/name.sqlite")
    return url


def within_reach(url: str) -> str:
    """Return the URL of a database that says so within seconds where its server is gone, unless the URL says otherwise.

    A server that was switched off answers nothing at all: a connection to it would wait for many minutes to be made,
    and for hours for an answer.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return url
    bounds = {
        "connect_timeout": str(REACH_SECONDS),
        "tcp_user_timeout": str(REACH_SECONDS * 1000),
        "keepalives_idle": str(REACH_SECONDS),
        "keepalives_interval": "1",
        "keepalives_count": str(REACH_SECONDS),
    }
    missing = {name: value for name, value in bounds.items() if name not in parsed.query}
    return parsed.update_query_dict(missing).render_as_string(hide_password=False)
