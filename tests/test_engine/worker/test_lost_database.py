"""A jobs database that does not answer for a while, in a worker that waits and in a job that runs."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from subprocess import Popen

import pytest
from support.waiting import wait_for_end, wait_until

from lens_engine.errors import JobError
from lens_engine.jobs.heartbeat import BEAT_SECONDS
from lens_engine.jobs.inputs import MineInputs
from lens_engine.jobs.launcher import worker_alive
from lens_engine.jobs.queue import DbosJobQueue
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.worker.job import STOP_POLL_SECONDS, Job, WorkerState

StartWorker = Callable[..., Popen[bytes]]


@contextmanager
def unreachable(project: Project) -> Iterator[None]:
    """Take the table of jobs away for a while."""
    file = project.jobs_database_url.removeprefix("sqlite:///")

    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(file, timeout=30)) as connection:
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")
            connection.commit()

    rename("workflow_status", "hidden")
    try:
        yield
    finally:
        rename("hidden", "workflow_status")


def test_the_queue_says_in_words_that_the_database_does_not_answer(database: Database, jobs: DbosJobQueue) -> None:
    job_id = jobs.submit(MineInputs(model_version="v1"))
    with unreachable(database.project):
        for ask in (jobs.has_open_jobs, jobs.open_jobs, jobs.jobs, lambda: jobs.status(job_id)):
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
