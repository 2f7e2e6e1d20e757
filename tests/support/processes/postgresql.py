"""A PostgreSQL server for the tests alone: in a folder of its own, reached by a socket in it, gone afterwards."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
from sqlalchemy import create_engine, make_url, text

USER = "postgres"
"""Runs the server where the tests run as root, which PostgreSQL refuses."""


def server_programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`, of the newest version; None where PostgreSQL is not installed."""
    on_path = shutil.which("initdb")
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    found = packaged[-1] if packaged else on_path
    return None if found is None else Path(found).resolve().parent


class Server:
    """A server whose data lie in a folder.

    Attributes
    ----------
    url
        Of its database, whether it runs or not.

    Parameters
    ----------
    is_durable
        Whether it waits for the disk, as that of a department does; tests have no use for that.
    """

    def __init__(self, programs: Path, folder: Path, *, is_durable: bool = False) -> None:
        self._programs = programs
        self._folder = folder
        self._fsync = "on" if is_durable else "off"
        self._data = folder / "data"
        self._owner = USER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        shutil.chown(folder, self._owner)
        self._run(["initdb", "-D", str(self._data), "-A", "trust", "-U", self._owner, "--no-sync"])
        self.url = f"postgresql+psycopg://{self._owner}@/postgres?host={folder}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-c listen_addresses='' -c fsync={self._fsync} -k {self._folder}"
        log = str(self._folder / "log")
        self._run(["pg_ctl", "-D", str(self._data), "-o", options, "-l", log, "-w", "start"])

    def stop(self) -> None:
        """Stop it at once."""
        self._run(["pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop"])

    def kill(self) -> None:
        """Kill all its processes, as when the computer loses its power."""
        first = psutil.Process(int((self._data / "postmaster.pid").read_text().splitlines()[0]))
        processes = [first, *first.children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=10)

    def _run(self, command: Sequence[str]) -> None:
        as_owner = self._owner if os.geteuid() == 0 else None
        program, *arguments = command
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True,
            cwd=self._folder,
            user=as_owner,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def own_server(programs: Path, *, is_durable: bool = False) -> Iterator[Server]:
    """Make a server and run it."""
    folder = Path(tempfile.mkdtemp(prefix="lens-postgresql-"))
    server = Server(programs, folder, is_durable=is_durable)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@contextmanager
def running_server(programs: Path) -> Iterator[str]:
    """Run a new server and yield the URL of its database."""
    with own_server(programs) as server:
        yield server.url


@contextmanager
def own_database(server_url: str) -> Iterator[str]:
    """Make an empty database on a server and yield its URL; it is gone afterwards, whoever is still connected."""
    name = f"lens_{uuid4().hex[:12]}"
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        engine.dispose()
