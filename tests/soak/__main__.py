"""`python -m soak`: kill at random moments, let all come to rest, and say what is wrong; the exit code says whether."""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.processes.postgresql import Server, own_server, server_programs

from soak.course import weather


def main() -> int:
    """Run a storm as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--folder", type=Path, help="a new folder, kept afterwards; a temporary one by default")
    arguments = parser.parse_args()
    print(f"{arguments.kills} kills, seed {arguments.seed}, {arguments.database}", flush=True)
    began = time.monotonic()
    with _folder(arguments.folder) as folder, _server(arguments.database) as server:
        toll, reckoning = weather(folder, server, arguments.kills, arguments.seed, lambda text: print(text, flush=True))
    kinds = ", ".join(f"{count} {kind}" for kind, count in toll.kills.items())
    print(f"killed: {kinds}; {len(toll.jobs)} jobs, {toll.resumed} of them resumed after their process was killed")
    print(
        f"{reckoning.saved} verdicts seen saved, {reckoning.stored} decisions stored, {time.monotonic() - began:.0f} s"
    )
    for line in reckoning.wrong:
        print(f"WRONG {line}")
    print("nothing is missing, doubled, stuck or left over" if not reckoning.wrong else f"{len(reckoning.wrong)} wrong")
    return bool(reckoning.wrong)


@contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        yield chosen
        return
    with tempfile.TemporaryDirectory(prefix="lens-soak-") as name:
        yield Path(name)


@contextmanager
def _server(database: str) -> Iterator[Server | None]:
    programs = server_programs()
    if database == "sqlite":
        yield None
    elif programs is None:
        raise SystemExit("PostgreSQL is not installed")
    else:
        with own_server(programs) as server:
            yield server


if __name__ == "__main__":
    sys.exit(main())
