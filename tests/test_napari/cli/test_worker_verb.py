"""`lens worker` as the user guide says it: a real process that waits for jobs until it is told to end."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes.command_line import LENS
from support.processes.waiting import FOR_EVER_SECONDS, wait_until

from lens_engine.jobs.launcher import worker_alive
from lens_engine.project import Project
from lens_engine.store.new_project import create_project

IDLE_SECONDS = 4.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    database, _ = create_project(tmp_path / "study")
    database.close()
    return tmp_path / "study"


@pytest.fixture
def worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([*LENS, "worker"], cwd=folder)
    yield process
    process.kill()
    process.wait()


def test_a_worker_waits_for_jobs_until_it_is_told_to_end(folder: Path, worker: subprocess.Popen[bytes]) -> None:
    project = Project.open(folder)
    wait_until(lambda: worker_alive(project), "the worker is alive")
    time.sleep(IDLE_SECONDS)
    assert worker.poll() is None
    assert worker_alive(project)
    worker.terminate()
    assert worker.wait(FOR_EVER_SECONDS) == 0
    assert not worker_alive(project)


def test_a_worker_ends_by_itself_after_the_idle_time_it_was_given(folder: Path) -> None:
    ended = subprocess.run([*LENS, "worker", "--idle-minutes", "0.02"], cwd=folder, timeout=60, check=False)
    assert ended.returncode == 0
    assert not worker_alive(Project.open(folder))
