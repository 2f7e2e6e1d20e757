"""Workers on one PostgreSQL database: one is killed, another comes half-way, every series is done exactly once."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.processes.postgresql import running_server, server_programs
from support.processes.waiting import wait_until
from support.projects.department import make_department
from support.projects.worker_project import add_patient

from lens_engine.findings import Split
from lens_engine.jobs.environment import process_environment
from lens_engine.jobs.inputs import DetectInputs
from lens_engine.jobs.queue import DbosJobQueue, open_queue
from lens_engine.jobs.status import JobState
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.store.models.model_versions import Models

SERIES_OF_A_JOB = 10
PATIENTS = int(os.environ.get("LENS_TEST_PATIENTS", "18"))
"""With `make soak` a department's worth of them."""
PATIENCE_SECONDS = 500.0

StartWorker = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def department(tmp_path: Path, tiny_checkpoint: Path) -> Iterator[Database]:
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with running_server(programs) as url:
        database = make_department(tmp_path / "project", url)
        models = Models(database)
        models.promote(models.register(tiny_checkpoint).version)
        yield database
        database.close()


@pytest.fixture
def queue(department: Database) -> Iterator[DbosJobQueue]:
    opened = open_queue(department.project)
    yield opened
    opened.close()


@pytest.fixture
def start(department: Database) -> Iterator[StartWorker]:
    started: list[subprocess.Popen[bytes]] = []

    def run(name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "lens_engine.worker", "--project", str(department.project.folder)]
        environment = {**process_environment(), "OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen([*command, "--executor-id", name], env=environment))
        return started[-1]

    yield run
    for process in started:
        process.terminate()
    for process in started:
        process.wait(30)


@pytest.mark.slow
def test_every_series_is_done_once_though_a_worker_dies_and_another_comes(
    department: Database, queue: DbosJobQueue, start: StartWorker, tmp_path: Path
) -> None:
    for number in range(PATIENTS):
        add_patient(department, tmp_path, number, Split.TRAIN)
    series = Catalog(department).all_series()
    ids = [item.id for item in series]
    version = Models(department).promoted().version
    portion = min(SERIES_OF_A_JOB, PATIENTS // 3)
    jobs = [
        queue.submit(DetectInputs(series_ids=tuple(ids[first : first + portion]), model_version=version))
        for first in range(0, PATIENTS, portion)
    ]
    killed = start("worker-a")
    start("worker-b")
    detections = Detections(department)
    wait_until(lambda: len(detections.series_ids(version)) >= PATIENTS // 4, "a part is done", PATIENCE_SECONDS)
    killed.kill()
    start("worker-c")
    wait_until(lambda: all(queue.status(job).state.is_final for job in jobs), "all is done", PATIENCE_SECONDS)
    ended = [queue.status(job) for job in jobs]
    assert {status.state for status in ended} == {JobState.DONE}
    assert {"worker-b", "worker-c"} <= {status.worker for status in ended}
    assert sorted(detections.series_ids(version)) == sorted(ids)
    logs = "".join(queue.log_file(job).read_text() for job in jobs)
    said = Counter(re.findall(r"series (\S+): detected", logs))
    assert set(said.values()) == {1}
    stored = {item.name for item in series} - set(said)
    assert len(stored) <= 1  # stored by the worker that was killed, before it could say so
