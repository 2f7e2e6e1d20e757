"""A worker that was idle for long enough, at the moment at which somebody asks for a job."""

from support.processes.lost_jobs_database import unreachable

from lens_engine.jobs.inputs import MineInputs
from lens_engine.jobs.queue import DbosJobQueue
from lens_engine.store.database import Database
from lens_engine.store.workers import Workers
from lens_engine.worker.worker import leave


def test_a_worker_leaves_where_nothing_is_to_be_done(database: Database, jobs: DbosJobQueue) -> None:
    workers = Workers(database)
    workers.start("worker-a", "host", 1, "cpu")
    assert leave(jobs, workers, "worker-a")
    assert workers.all() == ()


def test_a_job_that_came_with_the_last_look_keeps_its_worker(database: Database, jobs: DbosJobQueue) -> None:
    workers = Workers(database)
    workers.start("worker-a", "host", 1, "cpu")
    jobs.submit(MineInputs(model_version="v1"))
    assert not leave(jobs, workers, "worker-a")


def test_whoever_asks_while_a_worker_looks_for_the_last_time_sees_that_it_goes(
    database: Database, jobs: DbosJobQueue
) -> None:
    workers = Workers(database)
    workers.start("worker-a", "host", 1, "cpu")
    with unreachable(database.project):  # a look that cannot be answered: the worker's row is gone before it
        assert not leave(jobs, workers, "worker-a")
    assert workers.all() == ()
