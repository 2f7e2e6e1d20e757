"""A jobs database that does not answer for a while, in a worker that waits and in a job that runs."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest
from support.processes.lost_jobs_database import unreachable
from support.processes.postgresql import running_server, server_programs
from support.processes.waiting import wait_for_end, wait_for_progress, wait_until

from lens_engine.errors import JobError
from lens_engine.jobs.heartbeat import BEAT_SECONDS
from lens_engine.jobs.inputs import DetectInputs, MineInputs
from lens_engine.jobs.launcher import worker_alive
from lens_engine.jobs.names import EVENTS_FILE
from lens_engine.jobs.queue import DbosJobQueue, open_queue
from lens_engine.jobs.status import JobState
from lens_engine.project import Project, ProjectSettings
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.worker.job import STOP_POLL_SECONDS, Job, WorkerState

StartWorker = Callable[..., Popen[bytes]]
FOR_EVER_SECONDS = 60.0
"""A connection that nobody bounds is waited for more than twice as long."""


def test_the_queue_says_in_words_that_the_database_does_not_answer(database: Database, jobs: DbosJobQueue) -> None:
    job_id = jobs.submit(MineInputs(model_version="v1"))
    with unreachable(database.project):
        for ask in (
            jobs.has_open_jobs,
            jobs.open_job_counts,
            jobs.workers_of_running_jobs,
            jobs.jobs,
            lambda: jobs.status(job_id),
        ):
            with pytest.raises(JobError, match="does not answer"):
                ask()
    assert jobs.has_open_jobs()


@pytest.mark.slow
def test_a_waiting_worker_outlives_a_lost_database(
    database: Database, jobs: DbosJobQueue, start_worker: StartWorker
) -> None:
    worker = start_worker()
    wait_until(lambda: worker_alive(database.project), "the worker is alive")
    wait_for_end(jobs, jobs.submit(MineInputs(model_version="v9")))
    with unreachable(database.project):
        time.sleep(BEAT_SECONDS + 1.0)
        assert worker.poll() is None
    wait_for_end(jobs, jobs.submit(MineInputs(model_version="v9")))


@pytest.mark.slow
def test_a_job_goes_on_after_a_time_in_which_its_progress_could_not_be_stored(
    database: Database, jobs: DbosJobQueue, start_worker: StartWorker
) -> None:
    series = tuple(one.id for one in Catalog(database).all_series())
    start_worker()
    job_id = jobs.submit(DetectInputs(series_ids=series, model_version="v1"))
    wait_for_progress(jobs, job_id, 1)
    events = jobs.log_file(job_id).with_name(EVENTS_FILE)
    with unreachable(database.project):
        wait_until(lambda: '"ended"' in events.read_text(encoding="utf-8"), "the worker has let it go")
    assert wait_for_end(jobs, job_id).state is JobState.DONE
    assert "goes on at this step" in jobs.log_file(job_id).read_text(encoding="utf-8")


def test_a_job_goes_on_while_nobody_can_say_whether_it_was_cancelled(database: Database, jobs: DbosJobQueue) -> None:
    job = Job(jobs.submit(MineInputs(model_version="v1")), WorkerState("worker-a", database, jobs))
    with unreachable(database.project):
        assert not job.must_stop()
        time.sleep(STOP_POLL_SECONDS)
        assert not job.must_stop()
    log = jobs.log_file(job.id).read_text(encoding="utf-8")
    assert log.count("going on without knowing") == 1
    time.sleep(STOP_POLL_SECONDS)
    assert job.must_stop()  # it is queued, and not this worker's


@pytest.fixture
def on_postgresql(tmp_path: Path) -> Callable[[str], Project]:
    """Return a function that makes a project whose jobs are in the database of a URL."""

    def make(url: str) -> Project:
        settings = ProjectSettings(name="study", split_salt="salt", jobs_database_url=url)
        return Project.create(tmp_path / "study", settings=settings)

    return make


def test_a_server_that_went_away_is_said_at_once_and_not_waited_for(on_postgresql: Callable[[str], Project]) -> None:
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with running_server(programs) as url:
        queue = open_queue(on_postgresql(url))
        job_id = queue.submit(MineInputs(model_version="v1"))
    started = time.monotonic()
    for ask in (queue.has_open_jobs, queue.jobs, lambda: queue.status(job_id)):
        with pytest.raises(JobError, match="does not answer"):
            ask()
    queue.close()
    assert time.monotonic() - started < FOR_EVER_SECONDS


def test_a_server_that_takes_no_connection_is_not_waited_for(on_postgresql: Callable[[str], Project]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        host, port = silent.getsockname()
        started = time.monotonic()
        with pytest.raises(JobError, match="cannot be opened"):
            open_queue(on_postgresql(f"postgresql://someone@{host}:{port}/lens"))
        assert time.monotonic() - started < FOR_EVER_SECONDS


def test_a_log_that_cannot_be_written_ends_no_job(
    database: Database, jobs: DbosJobQueue, caplog: pytest.LogCaptureFixture
) -> None:
    job = Job(jobs.submit(MineInputs(model_version="v1")), WorkerState("worker-a", database, jobs))
    database.project.jobs_folder.mkdir(exist_ok=True)
    job.folder.write_text("a file where the folder should be")
    job.log("half-way")
    assert "half-way" in caplog.text


def test_a_job_makes_nothing_in_the_place_of_a_project_that_is_away(
    database: Database, jobs: DbosJobQueue, caplog: pytest.LogCaptureFixture
) -> None:
    job = Job(jobs.submit(MineInputs(model_version="v1")), WorkerState("worker-a", database, jobs))
    folder = database.project.folder
    folder.rename(folder.with_name("share"))
    job.log("half-way")
    job.note("begun")
    assert "half-way" in caplog.text
    assert not folder.exists()


def test_a_job_does_not_fail_where_nobody_can_say_whether_a_more_urgent_one_waits(
    database: Database, jobs: DbosJobQueue
) -> None:
    job = Job(jobs.submit(MineInputs(model_version="v1")), WorkerState("worker-a", database, jobs))
    with unreachable(database.project):
        job.make_way()
    assert "more urgent" in jobs.log_file(job.id).read_text(encoding="utf-8")
