"""A project of the version before the modules moved opens, and a worker of today does the jobs that it left behind."""

import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.processes.waiting import wait_for_end

from lens_engine.findings import Candidate, Rule, Verdict
from lens_engine.jobs.environment import process_environment
from lens_engine.jobs.inputs import JobKind
from lens_engine.jobs.queue import DbosJobQueue, open_queue
from lens_engine.jobs.status import JobState
from lens_engine.project import Project
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.detections import Detections
from lens_engine.store.models.model_versions import Models

ARCHIVE = Path(__file__).parents[1] / "support" / "projects" / "before-the-move.tar.xz"
CANDIDATES = 14

pytestmark = pytest.mark.slow


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    opened = Database.open(Project.open(tmp_path / "project"))
    yield opened
    opened.close()


@pytest.fixture
def jobs(database: Database) -> Iterator[DbosJobQueue]:
    queue = open_queue(database.project)
    yield queue
    queue.close()


@pytest.fixture
def start_worker(database: Database) -> Iterator[Callable[[], None]]:
    command = [sys.executable, "-m", "lens_engine.worker", "--project", str(database.project.folder)]
    started: list[subprocess.Popen[bytes]] = []
    yield lambda: started.append(subprocess.Popen(command, env={**process_environment(), "OMP_NUM_THREADS": "1"}))
    for process in started:
        process.terminate()
        process.wait(30)


def place(candidate: Candidate) -> tuple[Any, ...]:
    finding = candidate.finding
    return candidate.series_id, candidate.kind, finding.expert, finding.box, candidate.reasons[0].rule


def test_the_jobs_it_left_are_done_and_what_it_held_is_as_before(
    database: Database, jobs: DbosJobQueue, start_worker: Callable[[], None]
) -> None:
    before = list(Candidates(database).latest().values())
    decisions = Decisions(database).current()
    assert len(before) == CANDIDATES
    assert [record.decision.reader for record in decisions] == ["reader one", "reader one"]
    waiting = [job for job in jobs.jobs() if not job.state.is_final]
    assert sorted(job.kind for job in waiting) == [JobKind.DETECT, JobKind.EVALUATE, JobKind.EXPORT, JobKind.MINE]
    assert {job.state for job in waiting} == {JobState.QUEUED}

    start_worker()
    for job in waiting:
        status = wait_for_end(jobs, job.id)
        assert status.state is JobState.DONE, status.error

    assert Decisions(database).current() == decisions
    after = list(Candidates(database).latest().values())
    accepted = next(record for record in decisions if record.verdict is Verdict.ACCEPTED)
    continued = [candidate for candidate in after if candidate.reasons[0].decision_id == accepted.id]
    elsewhere = [candidate for candidate in before if candidate.finding.box != accepted.box]
    assert {place(one) for one in after if one not in continued} == {place(one) for one in elsewhere}
    assert [one.reasons[0].rule for one in continued] == [Rule.CROSS_SLICE]  # what it had accepted is a known place now
    answered = [record for record in Candidates(database).queue(include_decided=True) if record.decision is not None]
    assert {record.decision.id for record in answered if record.decision} == {record.id for record in decisions}
    assert Detections(database).series_ids("v1") == tuple(record.id for record in Catalog(database).all_series())
    assert [measured.result["series"] for measured in Models(database).evaluations("v1")] == [1]
    assert (database.project.exports_folder / "truth.json").is_file()
