"""Several workers on one project: nothing is computed twice, and whoever waits comes first."""

import re
import subprocess
from collections import Counter
from collections.abc import Callable

import pytest
from support.processes.waiting import wait_for_end, wait_for_progress, wait_until
from support.projects.store_samples import detections_of
from support.projects.worker_project import add_patient

from lens_engine.findings import Split
from lens_engine.jobs.inputs import DetectInputs, MineInputs
from lens_engine.jobs.queue import DbosJobQueue
from lens_engine.jobs.status import JobState, Urgency
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.tasks.claims import claim

StartWorker = Callable[..., subprocess.Popen[bytes]]


def detections_in(jobs: DbosJobQueue, *job_ids: str) -> Counter[str]:
    """Return how often the logs of jobs say of each series that it was detected in."""
    logs = "".join(jobs.log_file(job_id).read_text() for job_id in job_ids)
    return Counter(re.findall(r"series (\S+): detected", logs))


@pytest.mark.slow
def test_two_jobs_at_once_share_their_series_and_compute_none_twice(
    database: Database, jobs: DbosJobQueue, start_worker: StartWorker
) -> None:
    for number in range(6, 12):
        add_patient(database, database.project.folder, number, Split.TRAIN)
    series = Catalog(database).all_series()
    inputs = DetectInputs(series_ids=tuple(item.id for item in series), model_version="v1")
    one, other = jobs.submit(inputs), jobs.submit(inputs)
    for name in ("worker-a", "worker-b"):
        start_worker(name)
    ended = [wait_for_end(jobs, job_id) for job_id in (one, other)]
    assert [(status.state, status.done, status.result["series"]) for status in ended] == [(JobState.DONE, 12, 12)] * 2
    assert ended[0].result["boxes"] == ended[1].result["boxes"]
    assert detections_in(jobs, one, other) == Counter(item.name for item in series)


@pytest.mark.slow
def test_what_another_job_stores_counts_before_this_one_comes_to_it(
    database: Database, jobs: DbosJobQueue, start_worker: StartWorker
) -> None:
    first, *others = Catalog(database).all_series()
    with claim(database, f"detect v1 {first.id}") as is_ours:  # as the job of another worker does
        assert is_ours
        job = jobs.submit(DetectInputs(series_ids=(first.id, *(one.id for one in others)), model_version="v1"))
        start_worker()
        assert wait_for_progress(jobs, job, len(others)).done == len(others)
        Detections(database).write(first.id, "v1", detections_of(3))
        wait_for_progress(jobs, job, 1 + len(others))
    ended = wait_for_end(jobs, job)
    assert (ended.state, ended.result["series"], ended.result["skipped"]) == (JobState.DONE, 6, 1)
    assert detections_in(jobs, job) == Counter(one.name for one in others)


@pytest.mark.slow
def test_a_bulk_run_makes_way_for_a_reader_who_waits(
    database: Database, jobs: DbosJobQueue, start_worker: StartWorker
) -> None:
    for number in range(6, 60):
        add_patient(database, database.project.folder, number, Split.TRAIN)
    series = Catalog(database).all_series()
    bulk = jobs.submit(DetectInputs(series_ids=tuple(item.id for item in series), model_version="v1"))
    start_worker()
    wait_for_progress(jobs, bulk, 1)
    waiting = jobs.submit(MineInputs(model_version="v9"), Urgency.READER)
    wait_for_end(jobs, waiting)
    assert not jobs.status(bulk).state.is_final
    assert "making way" in jobs.log_file(bulk).read_text()
    assert wait_for_end(jobs, bulk).state is JobState.DONE
    assert detections_in(jobs, bulk) == Counter(item.name for item in series)


def test_of_two_waiting_jobs_the_one_of_a_reader_is_done_first(jobs: DbosJobQueue, start_worker: StartWorker) -> None:
    bulk = jobs.submit(MineInputs(model_version="v8"))
    reader = jobs.submit(MineInputs(model_version="v9"), Urgency.READER)
    assert jobs.more_urgent(bulk) == {reader}
    start_worker()
    wait_until(lambda: jobs.status(bulk).state is not JobState.QUEUED, "the worker has taken the bulk run")
    assert jobs.status(reader).state.is_final
