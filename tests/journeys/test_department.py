"""docs/department.md, as it is written: from one computer to PostgreSQL with two workers and two readers."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url
from support.processes.postgresql import running_server, server_programs
from support.processes.waiting import wait_until
from support.projects.worker_project import database, tiny_checkpoint

from lens_engine.errors import StoreError
from lens_engine.findings import Scope
from lens_engine.jobs.environment import process_environment
from lens_engine.jobs.launcher import workers
from lens_engine.project import Project
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.detections import Detections

PAGE = Path(__file__).parents[2] / "docs" / "department.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SERVER = "db.example/lens_study?sslmode=require"
LENS = """
lens() {
    case "$3" in
        review) "$PYTHON" -c "$REVIEW" "$2" ;;
        *) "$PYTHON" -c "from lens_napari.cli import main; main()" "$@" ;;
    esac
}
"""
REVIEW = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from support.projects.store_samples import BOX, sections
from lens_engine.findings import Decision, Verdict
from lens_engine.project import Project
from lens_napari.review.project_store import ProjectStore

store, reader = ProjectStore(Project.open(Path(sys.argv[1]))), os.environ["PGUSER"]
store.reviewed(reader)
series = store.viewable_series()[len(reader) % 2]
said = Decision(series.id, None, Verdict.ADDED, BOX, sections(BOX), reader=reader, decided_at=datetime.now(UTC))
store.commit(said, None)
"""
"""What a reader does at the viewer, without its window."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
__all__ = ["database", "tiny_checkpoint"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run a server that the environment leads to, as that of a department does."""
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with running_server(programs) as given:
        url = make_url(given)
        monkeypatch.setenv("PGHOST", str(url.query["host"]))
        monkeypatch.setenv("PGUSER", str(url.username))
        yield


def of_the_page(folder: Path, old_project: Path) -> list[str]:
    """Return the blocks of commands, with the folders of this test and the server that runs here."""
    places = {
        "/data/study": str(old_project),
        "/share/": f"{folder}/share/",
        "/backups": f"{folder}/backups",
        SERVER: "/lens_study",
    }
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    for before, after in places.items():
        assert any(before in block for block in blocks)
        blocks = [block.replace(before, after) for block in blocks]
    return blocks


def start(block: str) -> subprocess.Popen[str]:
    environment = process_environment() | {
        "PYTHON": sys.executable,
        "REVIEW": REVIEW,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
    }
    command = ["bash", "-e", "-c", LENS + block]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def run(block: str) -> str:
    process = start(block)
    said = process.communicate(timeout=400)[0]
    assert process.returncode == 0, f"{block}\n{said}"
    return said


def shared_project(folder: Path) -> Project:
    return Project.open(folder / "share" / "study")


def test_the_page_leads_to_a_department(database: Database, tmp_path: Path, server: None) -> None:
    blocks = of_the_page(tmp_path, database.project.folder)
    at_work: list[subprocess.Popen[str]] = []
    said = ""
    try:
        for block in blocks:
            if " worker " in block:
                at_work.append(start(block))
                wait_until(lambda: len(workers(shared_project(tmp_path))) == len(at_work), "the worker is alive")
            else:
                said += run(block)
        assert {one.worker_id for one in workers(shared_project(tmp_path))} == {"gpu-1", "gpu-2"}
    finally:
        for process in at_work:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=60)
    assert said.count("Nothing is wrong") == 2

    trial = Database.open(Project.open(tmp_path / "backups" / "trial"))
    assert trial.engine.dialect.name == "sqlite"
    series = Catalog(trial).all_series()
    assert Detections(trial).series_of("v1") == {record.id for record in series}
    assert {record.decision.reader for record in Decisions(trial).current()} == {"anna", "bert"}
    trial.close()


def test_what_the_page_says_of_roles_is_enforced(
    database: Database, tmp_path: Path, server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for block in of_the_page(tmp_path, database.project.folder)[:3]:
        run(block)
    monkeypatch.setenv("PGUSER", "anna")
    department = Database.open(shared_project(tmp_path))
    with pytest.raises(StoreError, match="does not let this user"):
        Catalog(department).add_dataset("lung", Scope.SINGLE_TYPE, "lung")
    department.close()
