"""A PostgreSQL server for the tests alone: in a folder of its own, reached by a socket in it, gone afterwards."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

USER = "postgres"
"""Runs the server where the tests run as root, which PostgreSQL refuses."""


def server_programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`, of the newest version; None where PostgreSQL is not installed."""
    on_path = shutil.which("initdb")
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    found = packaged[-1] if packaged else on_path
    return None if found is None else Path(found).resolve().parent


@contextmanager
def running_server(programs: Path) -> Iterator[str]:
    """Run a new server and yield the URL of its database."""
    owner = USER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="lens-postgresql-"))
    shutil.chown(folder, owner)

    def run(command: Sequence[str]) -> None:
        as_owner = owner if os.geteuid() == 0 else None
        subprocess.run(command, check=True, cwd=folder, user=as_owner, stdout=subprocess.DEVNULL)

    data = str(folder / "data")
    run([str(programs / "initdb"), "-D", data, "-A", "trust", "-U", owner, "--no-sync"])
    options = f"-c listen_addresses='' -c fsync=off -k {folder}"
    run([str(programs / "pg_ctl"), "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start"])
    try:
        yield f"postgresql+psycopg://{owner}@/postgres?host={folder}"
    finally:
        run([str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop"])
        shutil.rmtree(folder)
