"""`lens jobs` on a real queue, and what `lens doctor` says of jobs that nobody does."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.processes.command_line import lens
from support.processes.waiting import FOR_EVER_SECONDS, wait_for_end

from lens_engine.jobs.inputs import MineInputs
from lens_engine.jobs.launcher import workers
from lens_engine.jobs.queue import DbosJobQueue, open_queue
from lens_engine.jobs.status import JobState
from lens_engine.project import Project
from lens_engine.store.new_project import create_project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Yield a project without scans; a worker that was started for it is gone at the end."""
    database, _ = create_project(tmp_path / "study")
    yield database.project
    database.close()
    for record in workers(database.project):
        process = psutil.Process(record.pid)
        process.terminate()
        process.wait(FOR_EVER_SECONDS)


@pytest.fixture
def jobs(project: Project) -> Iterator[DbosJobQueue]:
    queue = open_queue(project)
    yield queue
    queue.close()


def test_a_resumed_job_is_done_although_no_worker_was_alive(project: Project, jobs: DbosJobQueue) -> None:
    cancelled = jobs.submit(MineInputs(model_version="v1"))
    jobs.cancel(cancelled)
    resumed = lens("jobs", "--resume", cancelled, folder=project.folder)
    assert resumed.returncode == 0, resumed.stderr
    assert f"Job {cancelled} goes on." in resumed.stdout
    assert wait_for_end(jobs, cancelled).state is JobState.FAILED  # there is nothing to mine
    again = lens("jobs", "--resume", cancelled, folder=project.folder)
    new = jobs.jobs(1)[0].id
    assert new != cancelled
    assert f"Job {new} goes on in place of {cancelled}." in again.stdout


def test_the_log_of_an_unknown_job_is_not_said_to_come(project: Project, jobs: DbosJobQueue) -> None:
    unknown = lens("jobs", "--log", "nosuch", folder=project.folder)
    assert unknown.returncode == 1
    assert "There is no job 'nosuch'" in unknown.stderr
    waiting = lens("jobs", "--log", jobs.submit(MineInputs(model_version="v1")), folder=project.folder)
    assert "has no log yet" in waiting.stderr


def test_jobs_that_wait_without_a_worker_are_a_problem(project: Project, jobs: DbosJobQueue) -> None:
    assert lens("doctor", folder=project.folder).returncode == 0
    jobs.submit(MineInputs(model_version="v1"))
    report = lens("doctor", folder=project.folder)
    assert report.returncode == 1
    assert "1 job waits and no worker is alive. Start one with: lens worker" in report.stdout
