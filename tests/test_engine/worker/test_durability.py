"""Workers that die: nothing is lost, nothing is done twice, and no process stays behind."""

import re
import signal
from collections import Counter
from datetime import UTC, datetime

import psutil
import pytest
from dbos import DBOSClient, DBOSPortableJSONSerializer
from support.processes.waiting import FOR_EVER_SECONDS, wait_for_end, wait_for_progress, wait_until
from support.projects.mining_project import add_patients, annotate, embed_annotations

from lens_engine.jobs.inputs import DetectInputs, MineInputs, TrainInputs
from lens_engine.jobs.names import APPLICATION_VERSION, MINED_FOLDER, QUEUE_NAME
from lens_engine.jobs.status import JobState
from lens_engine.snapshot import LabelSet
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import Models
from lens_engine.tasks.workbench import Workbench
from lens_engine.worker.messages import CalibrateRules, MinePatients, StoreCandidates
from lens_engine.worker.steps import PATIENTS_OF_A_STEP

pytestmark = pytest.mark.slow

BATCHES = 3
"""Of patients, in the mining that is killed or cancelled after the first one."""


@pytest.fixture
def detect_job(database, jobs):
    series_ids = tuple(series.id for series in Catalog(database).all_series())
    return jobs.submit(DetectInputs(series_ids=series_ids, model_version="v1"))


def detections_by_series(jobs, job_id):
    return Counter(re.findall(r"series (\S+): detected", jobs.log_file(job_id).read_text()))


def assert_every_series_was_done_once(database, jobs, job_id):
    names = [series.name for series in Catalog(database).all_series()]
    assert detections_by_series(jobs, job_id) == Counter(names)


def kill(worker):
    """Kill a worker and wait until the child of its job is gone as well."""
    children = psutil.Process(worker.pid).children(recursive=True)
    worker.kill()
    worker.wait()
    _, alive = psutil.wait_procs(children, timeout=FOR_EVER_SECONDS)
    assert children
    assert not alive


def test_a_killed_worker_goes_on_where_it_was_after_a_restart(database, jobs, detect_job, start_worker):
    worker = start_worker("worker-a")
    wait_for_progress(jobs, detect_job, 2)
    kill(worker)
    assert jobs.status(detect_job).state is JobState.RUNNING
    start_worker("worker-a")
    status = wait_for_end(jobs, detect_job)
    assert status.state is JobState.DONE
    assert_every_series_was_done_once(database, jobs, detect_job)


def test_a_second_worker_takes_over_the_job_of_a_dead_one(database, jobs, detect_job, start_worker):
    first = start_worker("worker-a")
    wait_for_progress(jobs, detect_job, 2)
    start_worker("worker-b")
    kill(first)
    status = wait_for_end(jobs, detect_job)
    assert (status.state, status.worker) == (JobState.DONE, "worker-b")
    assert_every_series_was_done_once(database, jobs, detect_job)


def test_a_terminated_worker_gives_its_job_back_to_the_queue(database, jobs, detect_job, start_worker):
    worker = start_worker("worker-a")
    wait_for_progress(jobs, detect_job, 1)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(FOR_EVER_SECONDS) == 0
    assert jobs.status(detect_job).state is JobState.QUEUED
    start_worker("worker-b")
    assert wait_for_end(jobs, detect_job).state is JobState.DONE
    assert_every_series_was_done_once(database, jobs, detect_job)


def test_cancel_ends_the_child_and_resume_finishes_the_job(database, jobs, detect_job, start_worker):
    worker = start_worker()
    wait_for_progress(jobs, detect_job, 1)
    (child,) = psutil.Process(worker.pid).children()
    jobs.cancel(detect_job)
    child.wait(FOR_EVER_SECONDS)
    assert jobs.status(detect_job).state is JobState.CANCELLED
    assert sum(detections_by_series(jobs, detect_job).values()) < 6
    assert jobs.resume(detect_job) == detect_job
    assert wait_for_end(jobs, detect_job).state is JobState.DONE
    assert_every_series_was_done_once(database, jobs, detect_job)


def test_a_killed_child_fails_the_job_in_words_and_a_resumed_one_keeps_what_was_done(
    database, jobs, detect_job, start_worker
):
    worker = start_worker()
    wait_for_progress(jobs, detect_job, 2)
    psutil.Process(worker.pid).children()[0].kill()
    status = wait_for_end(jobs, detect_job)
    assert status.state is JobState.FAILED
    assert "killed from outside (signal SIGKILL)" in status.error
    assert "memory ran out" not in status.error
    assert "Traceback" not in status.error
    again = jobs.resume(detect_job)
    assert again != detect_job
    assert wait_for_end(jobs, again).state is JobState.DONE
    assert detections_by_series(jobs, detect_job) + detections_by_series(jobs, again) == Counter(
        series.name for series in Catalog(database).all_series()
    )


def test_a_step_that_failed_before_a_crash_fails_in_its_own_words_after_it(database, jobs, start_worker):
    start_worker()
    series_ids = (Catalog(database).all_series()[0].id,)
    failed = wait_for_end(jobs, jobs.submit(DetectInputs(series_ids=series_ids, model_version="v9")))
    client = DBOSClient(system_database_url=database.project.jobs_database_url, serializer=DBOSPortableJSONSerializer())
    handle = client.fork_workflow(
        failed.id, start_step=10, application_version=APPLICATION_VERSION, queue_name=QUEUE_NAME
    )
    again = wait_for_end(jobs, handle.workflow_id)
    client.destroy()
    assert again.state is JobState.FAILED
    assert again.error == failed.error
    assert "v9" in again.error


def test_a_training_goes_on_from_its_last_checkpoint_after_its_worker_was_killed(database, jobs, start_worker):
    snapshot = Snapshots(database).freeze(LabelSet.ORIGINAL)
    job_id = jobs.submit(TrainInputs(snapshot_id=snapshot.id, parent_version="v1", steps=70))
    worker = start_worker()
    last = database.project.jobs_folder / job_id / "training" / "last.ckpt"
    wait_until(last.exists, "the training has written a checkpoint", 120)
    kill(worker)
    start_worker()
    status = wait_for_end(jobs, job_id, 120)
    assert status.state is JobState.DONE, status.error
    assert status.result["model_version"] == "v2"
    assert [model.version for model in Models(database).all()] == ["v1", "v2"]
    log = jobs.log_file(job_id).read_text()
    assert log.count("starting the training") == 1
    assert log.count("going on with the training") == 1


@pytest.fixture
def mine_job(database, jobs):
    """Ask for a mining of many patients whose lesions are embedded already; no worker is there yet."""
    records = add_patients(database, BATCHES * PATIENTS_OF_A_STEP, lesions=8)
    annotate(database, records)
    job_id = jobs.submit(MineInputs(model_version="v1"))
    embed_annotations(database, records, database.project.jobs_folder / job_id)
    return job_id, records


def mined_batches(jobs, job_id):
    return re.findall(r"mined batch (\d+): 10 patients", jobs.log_file(job_id).read_text())


def wait_for_first_batch(jobs, job_id, records):
    """Block until every series is embedded, the distance limit found and a batch of patients mined."""
    done = len(records) + 2
    wait_until(lambda: jobs.status(job_id).done >= done, "the first batch is mined", 200)


def uninterrupted(database, records, folder):
    """Return the result of the same mining without a worker, in one batch."""
    embed_annotations(database, records, folder)
    bench, ids = Workbench(database.project, folder), tuple(record.id for record in records)
    for task in (
        CalibrateRules(series_ids=ids, model_version="v1"),
        MinePatients(batch=0, series_ids=ids, model_version="v1"),
    ):
        bench.run(task, lambda done, total: None)
    begun_at = datetime(2026, 3, 1, tzinfo=UTC)
    store = StoreCandidates(batches=1, series=len(records), model_version="v1", begun_at=begun_at)
    return bench.run(store, lambda done, total: None)


def test_a_mining_goes_on_behind_its_last_batch_and_nobody_sees_a_part_of_it(
    database, jobs, mine_job, start_worker, tmp_path
):
    job_id, records = mine_job
    before = [candidate.candidate for candidate in Candidates(database).queue()]
    worker = start_worker("worker-a")
    wait_for_first_batch(jobs, job_id, records)
    kill(worker)
    assert mined_batches(jobs, job_id) in (["0"], ["0", "1"])
    assert [candidate.candidate for candidate in Candidates(database).queue()] == before
    start_worker("worker-b")
    status = wait_for_end(jobs, job_id, 200)
    assert (status.state, status.worker, status.done) == (JobState.DONE, "worker-b", status.total)
    assert mined_batches(jobs, job_id) == ["0", "1", "2"]
    found = list(Candidates(database).latest().values())
    again = uninterrupted(database, records, tmp_path / "again")
    assert found == list(Candidates(database).latest().values())
    assert again | {"mining_run": status.result["mining_run"]} == status.result
    assert not (database.project.jobs_folder / job_id / MINED_FOLDER).exists()


def test_a_cancelled_mining_stores_nothing_and_a_resumed_one_repeats_no_batch(database, jobs, mine_job, start_worker):
    job_id, records = mine_job
    worker = start_worker()
    wait_for_first_batch(jobs, job_id, records)
    (child,) = psutil.Process(worker.pid).children()
    jobs.cancel(job_id)
    child.wait(FOR_EVER_SECONDS)
    assert Candidates(database).latest() == {}
    assert jobs.resume(job_id) == job_id
    assert wait_for_end(jobs, job_id, 200).state is JobState.DONE
    assert mined_batches(jobs, job_id) == ["0", "1", "2"]
    assert len(Candidates(database).latest()) > 0
