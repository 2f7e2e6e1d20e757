"""Retrain, close napari, come back: the new version is measured; use it, and let it look again, by buttons alone."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pytestqt.qtbot import QtBot
from support.processes.waiting import wait_for_end
from support.projects.worker_project import database, jobs, start_worker, tiny_checkpoint

from lens_engine.findings import Split
from lens_engine.jobs.inputs import DetectInputs, JobKind, MineInputs
from lens_engine.jobs.queue import DbosJobQueue
from lens_engine.jobs.status import JobState
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.mining_runs import latest_version
from lens_engine.store.models.model_versions import Models
from lens_napari.jobs_controller import JobsController
from lens_napari.review.project_store import ProjectStore
from lens_napari.viewer.background import Lane

__all__ = ["database", "jobs", "start_worker", "tiny_checkpoint"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PATIENCE_MS = 240_000


@contextmanager
def docks_of(database: Database, qtbot: QtBot) -> Iterator[JobsController]:
    """Open the docks of a project as napari does, and close them as it does."""
    store, commits = ProjectStore(database.project), Lane("commits")
    controller = JobsController(store, commits, start_worker=False)
    for panel in (controller.jobs_panel, controller.models_panel, controller.retrain_panel):
        qtbot.addWidget(panel)
    controller.start()
    yield controller
    controller.close()
    commits.close(finish=True)
    store.close()


@pytest.fixture
def mined(database: Database, jobs: DbosJobQueue, start_worker: Callable[..., subprocess.Popen[bytes]]) -> Database:
    """Return a project whose first version has looked at the patients that are learnt from, and mined them."""
    start_worker()
    series = [record.id for record in Catalog(database).all_series() if record.split is not Split.TEST]
    jobs.submit(DetectInputs(series_ids=tuple(series), model_version="v1"))
    assert wait_for_end(jobs, jobs.submit(MineInputs(model_version="v1")), 240).state is JobState.DONE
    return database


def test_a_training_that_ended_unwatched_is_measured_used_and_looks_again(
    mined: Database, jobs: DbosJobQueue, qtbot: QtBot
) -> None:
    with docks_of(mined, qtbot) as docks:
        panel = docks.retrain_panel
        qtbot.waitUntil(panel.retrain_button.isEnabled, timeout=PATIENCE_MS)
        panel.form.steps.value = 2
        panel.retrain_button.click()
        qtbot.waitUntil(lambda: any(job.kind is JobKind.TRAIN for job in docks.jobs), timeout=PATIENCE_MS)
    training = next(job for job in jobs.jobs() if job.kind is JobKind.TRAIN)
    assert wait_for_end(jobs, training.id, 240).state is JobState.DONE

    with docks_of(mined, qtbot) as docks:
        panel = docks.retrain_panel
        qtbot.waitUntil(lambda: not panel.use_button.isHidden(), timeout=PATIENCE_MS)
        said = panel.last_label.text()
        assert "v2 was made from v1" in said
        assert "Average sensitivity" in said
        assert "1 complete series of 1 held-out patients" in said
        assert "The last training took" in panel.duration_label.text()
        qtbot.waitUntil(lambda: "→" in docks.models_panel.words_label.text(), timeout=PATIENCE_MS)
        assert len(Models(mined).evaluations("v2")) == 1

        panel.use_button.click()
        qtbot.waitUntil(lambda: not panel.outdated_list.isHidden(), timeout=PATIENCE_MS)
        assert panel.use_button.isHidden()
        assert "It is in use." in panel.last_label.text()
        assert "has not looked at 5 of 5 series" in panel.outdated_list.words_label.text()
        with qtbot.waitSignal(docks.candidates_changed, timeout=PATIENCE_MS):
            panel.outdated_list.mine_button.click()
        qtbot.waitUntil(panel.outdated_list.isHidden, timeout=PATIENCE_MS)
        assert latest_version(mined) == "v2"
