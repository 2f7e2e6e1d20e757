"""Jobs whose worker died, as whoever waits for them sees it; real workers that are killed."""

import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from support.processes.hanging_model import end_children_of, hang_while_loading
from support.processes.waiting import wait_for_end, wait_until

from lens_engine.jobs.heartbeat import STALE_SECONDS
from lens_engine.jobs.inputs import DetectInputs
from lens_engine.jobs.launcher import resume_job, workers
from lens_engine.jobs.queue import DbosJobQueue
from lens_engine.jobs.status import JobState
from lens_engine.jobs.watching import WorkerWatch
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database

StartWorker = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def interrupted(
    database: Database, jobs: DbosJobQueue, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Yield a job whose worker was killed while its child was loading."""
    folder = database.project.folder
    series = Catalog(database).all_series()[0]
    with monkeypatch.context() as patched:
        hang_while_loading(folder / "hanging", patched)
        job_id = jobs.submit(DetectInputs(series_ids=(series.id,), model_version="v1"))
        worker = start_worker("worker-a")
        wait_until(lambda: jobs.status(job_id).state is JobState.RUNNING, "the job runs")
        worker.kill()
        worker.wait()
    end_children_of(folder)
    yield job_id
    for record in workers(database.project):
        subprocess.run(["kill", str(record.pid)], check=False)
    wait_until(lambda: not workers(database.project), "the workers have ended")


def test_a_job_of_a_dead_worker_is_interrupted_before_its_heartbeat_is_stale(
    database: Database, jobs: DbosJobQueue, interrupted: str
) -> None:
    watch, started = WorkerWatch(database.project), time.monotonic()
    (seen,) = watch.look(jobs.jobs())
    assert seen.state is JobState.INTERRUPTED
    assert not seen.state.is_final
    assert time.monotonic() - started < STALE_SECONDS
    watch.close()


@pytest.mark.slow
def test_whoever_waits_for_a_job_of_a_dead_worker_starts_another_one(
    database: Database, jobs: DbosJobQueue, interrupted: str
) -> None:
    watch = WorkerWatch(database.project)
    assert watch.look_at(jobs.status(interrupted)).state is JobState.INTERRUPTED
    assert wait_for_end(jobs, interrupted).state is JobState.DONE
    assert not watch.revive(jobs.jobs())
    watch.close()


@pytest.mark.slow
def test_one_command_hands_a_job_of_a_dead_worker_over(
    database: Database, jobs: DbosJobQueue, interrupted: str
) -> None:
    assert resume_job(database.project, jobs, interrupted) == interrupted
    assert wait_for_end(jobs, interrupted).state is JobState.DONE
