"""One job at a time on each GPU, and a cancel that holds while a job waits for it or loads its model."""

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pytest
from support.processes.hanging_model import end_children_of, hang_while_loading
from support.processes.lockless import refuse_locks_in
from support.processes.waiting import wait_for_end, wait_until

from lens_engine.jobs.inputs import DetectInputs
from lens_engine.jobs.queue import DbosJobQueue
from lens_engine.jobs.status import JobState
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.worker.device import gpu_lock, gpu_of
from lens_engine.worker.job import WAITS_FOR_DEVICE

StartWorker = Callable[..., subprocess.Popen[bytes]]
FOR_EVER_SECONDS = 60.0
"""What is not ended by a cancel loads on for longer."""


@pytest.fixture
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the locks of GPUs that there are apart from those of the tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize(
    ("environment", "gpu"),
    [
        ({"CUDA_VISIBLE_DEVICES": "1"}, "1"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8932f937, 2"}, "GPU-8932f937"),
        ({"CUDA_VISIBLE_DEVICES": ""}, None),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, None),
    ],
)
def test_the_gpu_of_a_worker_is_the_first_that_it_sees(environment: Mapping[str, str], gpu: str | None) -> None:
    assert gpu_of(environment) == gpu


def test_without_a_word_the_first_gpu_is_meant_where_there_is_a_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_of({}) is None
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert gpu_of({}) == "0"


@pytest.fixture
def detect_one(database: Database, jobs: DbosJobQueue) -> Callable[[int], str]:
    """Return a function that asks for the detection in one series."""
    series = Catalog(database).all_series()
    return lambda place: jobs.submit(DetectInputs(series_ids=(series[place].id,), model_version="v1"))


@pytest.mark.slow
@pytest.mark.usefixtures("state_home")
def test_a_job_waits_until_the_gpu_is_free(
    jobs: DbosJobQueue,
    detect_one: Callable[[int], str],
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    start_worker()
    with gpu_lock("0"):
        waiting = detect_one(0)
        wait_until(lambda: jobs.status(waiting).stage == WAITS_FOR_DEVICE, "the job waits for the GPU")
        assert "already holds" in jobs.log_file(waiting).read_text()
        cancelled_at = time.monotonic()
        other = detect_one(1)
        jobs.cancel(waiting)
        wait_until(lambda: jobs.status(other).stage == WAITS_FOR_DEVICE, "the next job waits for the GPU")
        assert time.monotonic() - cancelled_at < FOR_EVER_SECONDS
    assert wait_for_end(jobs, other).state is JobState.DONE


@pytest.mark.slow
@pytest.mark.usefixtures("state_home")
def test_a_job_does_not_wait_for_a_gpu_whose_lock_lies_on_a_disk_without_locks(
    jobs: DbosJobQueue,
    detect_one: Callable[[int], str],
    start_worker: StartWorker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    refuse_locks_in(tmp_path / "state", tmp_path / "code", monkeypatch)
    start_worker()
    job_id = detect_one(0)
    assert wait_for_end(jobs, job_id).state is JobState.DONE
    assert "not kept from other jobs on the GPU" in jobs.log_file(job_id).read_text()


@pytest.mark.slow
def test_a_cancel_holds_within_seconds_while_the_model_is_loaded(
    database: Database,
    jobs: DbosJobQueue,
    detect_one: Callable[[int], str],
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hang_while_loading(database.project.folder / "hanging", monkeypatch)
    worker = start_worker()
    job_id = detect_one(0)
    wait_until(lambda: bool(psutil.Process(worker.pid).children()), "the job has its process")
    (child,) = psutil.Process(worker.pid).children()
    jobs.cancel(job_id)
    child.wait(FOR_EVER_SECONDS)
    assert wait_for_end(jobs, job_id).state is JobState.CANCELLED
    end_children_of(database.project.folder)
