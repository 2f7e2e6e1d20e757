"""`lens retrain` on a small real project: what the new version is worth is printed, and kept with its job."""

import pytest
from support.processes.command_line import lens
from support.processes.waiting import wait_for_end
from support.projects.worker_project import database, jobs, known_worker, start_worker, tiny_checkpoint

from lens_engine.jobs.queue import DbosJobQueue
from lens_engine.jobs.status import JobState
from lens_engine.store.database import Database

__all__ = ["database", "jobs", "known_worker", "start_worker", "tiny_checkpoint"]

pytestmark = pytest.mark.slow


def test_a_retraining_is_measured_and_its_gain_is_printed_with_its_result(
    database: Database, jobs: DbosJobQueue, known_worker: None
) -> None:
    asked = lens("retrain", "--steps", "2", folder=database.project.folder)
    assert asked.returncode == 0, asked.stderr
    (job,) = jobs.jobs()
    status = wait_for_end(jobs, job.id, 240)
    assert status.state is JobState.DONE, status.error
    words = " ".join(lens("jobs", "--result", job.id, folder=database.project.folder).stdout.split())
    assert "New model version v2 after 2 steps" in words
    assert "on 1 test series of 1 patients with 1 lesions" in words
    assert "lens mine --detect" in words
