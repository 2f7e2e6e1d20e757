"""A decision until it is on disk, beside a worker that writes; labels frozen, and the log gone over, with very many."""

import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from sqlalchemy import create_engine, text

from benchmarks.measure import Comparison, Growth, peak_of_this_process
from benchmarks.review.worklist_project import CANDIDATES_OF_SERIES, make_worklist_project
from lens_engine.findings import Decision, Verdict
from lens_engine.project import Project
from lens_engine.snapshot import LabelSet
from lens_engine.store.audit.verification import verify
from lens_engine.store.candidates import Candidates
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.queue.outline import OPEN
from tests.support.processes.postgresql import own_database, own_server, server_programs

DECISIONS = 200
GOAL_MS = {"SQLite": 10.0, "PostgreSQL": 20.0}
FEW = 100


def run(*, full: bool) -> list[Comparison]:
    """Return what a decision costs relative to one row that is put on the same disk with nothing around it."""
    series = 10_000 if full else 1_000
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        project = make_worklist_project(Path(folder), series)
        rows.append(_row("SQLite", series, _bare_row_ms(Path(folder) / "bare.sqlite"), _decision_ms(project)))
    programs = server_programs()
    if programs is None:
        print("PostgreSQL is not installed: its decisions are not measured")
        return rows
    with own_server(programs, is_durable=True) as server, tempfile.TemporaryDirectory() as folder:
        bare = _bare_row_on_server_ms(server.url)
        with own_database(server.url) as url:
            ours = _decision_ms(make_worklist_project(Path(folder), series, database_url=url))
        rows.append(_row("PostgreSQL", series, bare, ours))
    return rows


def _row(database: str, series: int, bare_ms: float, ours_ms: float) -> Comparison:
    """Return a decision beside the bare row; the goal is the milliseconds that a decision may take."""
    goal_ms = GOAL_MS[database]
    name = f"a decision on {database} beside a worker, {series * CANDIDATES_OF_SERIES} lesions"
    row = Comparison(name, "one row, nobody else", bare_ms / 1000, ours_ms / 1000)
    return row.wanted(bare_ms / goal_ms, f"median {ours_ms:.1f} ms, at most {goal_ms:g} ms are wanted")


def growth(*, full: bool) -> list[Growth]:
    """Return how a decision grows with the project, and freezing and going over the log with the decisions."""
    many = 10_000 if full else 1_000
    small, large = _costs(FEW), _costs(many)
    names = f"{FEW * CANDIDATES_OF_SERIES} lesions", f"{many * CANDIDATES_OF_SERIES} lesions"
    larger = many / FEW
    rows = (
        ("a decision on disk beside a worker", "ms", 1.5),
        ("the labels frozen, every lesion decided", "s", larger * 1.2),
        ("the largest memory while they are frozen", "MiB", larger),
        ("the log of decisions gone over", "s", larger * 1.2),
    )
    return [
        Growth(what, names[0], small[i], names[1], large[i], unit, limit) for i, (what, unit, limit) in enumerate(rows)
    ]


def main() -> None:
    """Freeze the labels of a project and go over its log; print both times and the largest memory of freezing."""
    database = Database.open(Project.open(Path(sys.argv[1])))
    started = time.perf_counter()
    Snapshots(database).freeze(LabelSet.CURATED)
    frozen, peak = time.perf_counter(), peak_of_this_process() / 2**20
    verify(database)
    print(frozen - started, peak, time.perf_counter() - frozen)


def _costs(series: int) -> tuple[float, float, float, float]:
    with tempfile.TemporaryDirectory() as folder:
        decision = _decision_ms(make_worklist_project(Path(folder) / "open", series))
        decided = make_worklist_project(Path(folder) / "decided", series, decided_share=1.0)
        command = [sys.executable, "-m", "benchmarks.store.decisions", str(decided)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    freezing, peak, going_over = map(float, done.stdout.split())
    return decision, freezing, peak, going_over


def _decision_ms(project: Path) -> float:
    database = Database.open(Project.open(project))
    candidates, decisions = Candidates(database), Decisions(database)
    outline = candidates.outline()
    milliseconds = []
    with _busy_worker(project):
        for number in islice(outline.ids[outline.verdicts == OPEN], DECISIONS):
            asked = candidates.get(int(number)).candidate
            box, slices = asked.finding.box, asked.finding.slices
            said = Decision(asked.series_id, int(number), Verdict.ACCEPTED, box, slices, "Reader B", datetime.now(UTC))
            started = time.perf_counter()
            decisions.add_seen(said, None)
            milliseconds.append((time.perf_counter() - started) * 1000)
    database.close()
    return statistics.median(milliseconds)


@contextmanager
def _busy_worker(project: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.store.busy_worker", str(project)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        if worker.stdout is not None:
            worker.stdout.readline()
        try:
            yield
        finally:
            worker.kill()


def _bare_row_on_server_ms(server_url: str) -> float:
    milliseconds = []
    with own_database(server_url) as url:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE said (verdict TEXT)"))
        for _ in range(DECISIONS):
            started = time.perf_counter()
            with engine.begin() as connection:
                connection.execute(text("INSERT INTO said VALUES ('accepted')"))
            milliseconds.append((time.perf_counter() - started) * 1000)
        engine.dispose()
    return statistics.median(milliseconds)


def _bare_row_ms(file: Path) -> float:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE said (verdict TEXT)")
    milliseconds = []
    for _ in range(DECISIONS):
        started = time.perf_counter()
        connection.execute("INSERT INTO said VALUES ('accepted')")
        milliseconds.append((time.perf_counter() - started) * 1000)
    connection.close()
    return statistics.median(milliseconds)


if __name__ == "__main__":
    main()
