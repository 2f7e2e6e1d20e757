"""Jobs, models and retrain docks on the real queue of a project; only what is exported needs a worker."""

import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from support.processes.command_line import LENS
from support.processes.hanging_model import end_children_of, hang_while_loading
from support.processes.waiting import FOR_EVER_SECONDS
from support.projects.review_project import add_held_out_series

from lens_engine.jobs.inputs import DetectInputs, JobKind
from lens_engine.jobs.launcher import ensure_worker, workers
from lens_engine.jobs.status import JobProgress, JobState, JobStatus
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.labels.completeness import mark_complete
from lens_engine.store.models.model_versions import Models
from lens_napari.jobs_controller import JobsController
from lens_napari.panels.jobs import JobRow, JobsPanel
from lens_napari.review.job_wording import INTERRUPTED
from lens_napari.review.project_store import ProjectStore
from lens_napari.review.versions.froc_view import froc_view
from lens_napari.review.versions.learning import LearningPlan, TrainChoices
from lens_napari.viewer.background import Lane

PATIENCE_MS = 60_000
SOON_MS = 20_000
"""Before the heartbeat of a dead worker is stale."""


@pytest.fixture
def docks(qtbot: QtBot, project_folder: Path) -> Iterator[JobsController]:
    store, commits = ProjectStore(Project.open(project_folder)), Lane("commits")
    controller = JobsController(store, commits, start_worker=False)
    for panel in (controller.jobs_panel, controller.models_panel, controller.retrain_panel):
        qtbot.addWidget(panel)
    controller.start()
    yield controller
    controller.close()
    commits.close(finish=True)
    store.close()


def row_of(docks: JobsController, qtbot: QtBot, kind: JobKind) -> JobRow:
    def find() -> JobRow | None:
        job = next((job for job in docks.jobs if job.kind is kind), None)
        return docks.jobs_panel.rows.get(job.id) if job else None

    qtbot.waitUntil(lambda: find() is not None, timeout=PATIENCE_MS)
    row = find()
    assert row is not None
    return row


def has_state(docks: JobsController, row: JobRow, state: JobState) -> bool:
    return any(job.id == row.job_id and job.state is state for job in docks.jobs)


def curve(value: float) -> dict[str, Any]:
    return {
        "average_sensitivity": {"value": value, "low": value - 0.05, "high": value + 0.05, "level": 0.95},
        "sensitivity_at": {"0.125": value},
        "points": {"false_positives": [0.1, 1.0, 8.0], "sensitivity": [value - 0.1, value, value + 0.1]},
    }


def evaluation(value: float, compared_with: str | None = None) -> dict[str, Any]:
    difference = {"value": 0.02, "low": -0.006, "high": 0.043, "level": 0.95}
    return {
        "split": "test",
        "series": 4,
        "patients": 3,
        "lesions": 20,
        "threshold": 0.3,
        "experts": {"fused": {"IoBB": curve(value), "IoU": curve(value - 0.1)}},
        "compared_with": compared_with,
        "difference": {"IoBB": difference, "IoU": difference} if compared_with else {},
    }


def test_a_job_is_queued_cancelled_and_continued_by_buttons(docks: JobsController, qtbot: QtBot) -> None:
    docks.jobs_panel.mine_button.click()
    row = row_of(docks, qtbot, JobKind.MINE)
    assert row.eta_label.text() == "waits"
    row.stop_button.click()
    qtbot.waitUntil(lambda: has_state(docks, row, JobState.CANCELLED), timeout=PATIENCE_MS)
    assert not row.resume_button.isHidden()
    row.resume_button.click()
    qtbot.waitUntil(lambda: has_state(docks, row, JobState.QUEUED), timeout=PATIENCE_MS)


def test_a_job_whose_worker_died_is_interrupted_and_its_button_hands_it_over(
    docks: JobsController, qtbot: QtBot, project_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        hang_while_loading(project_folder / "hanging", patched)
        worker = subprocess.Popen([*LENS, "worker"], cwd=project_folder)
        docks.submit(lambda: DetectInputs(series_ids=(1,), model_version="v1"))
        row = row_of(docks, qtbot, JobKind.DETECT)
        qtbot.waitUntil(lambda: has_state(docks, row, JobState.RUNNING), timeout=PATIENCE_MS)
    worker.kill()
    worker.wait()
    end_children_of(project_folder)
    qtbot.waitUntil(lambda: has_state(docks, row, JobState.INTERRUPTED), timeout=SOON_MS)
    assert row.stage_label.text() == INTERRUPTED
    assert not row.stop_button.isHidden()
    QTest.mouseClick(row.resume_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: has_state(docks, row, JobState.QUEUED), timeout=PATIENCE_MS)


def job_in(state: JobState) -> JobStatus:
    result = {"candidates": 3, "series": 2} if state is JobState.DONE else {}
    now = datetime(2026, 1, 2, tzinfo=UTC)
    return JobStatus(state.value, JobKind.MINE, state, JobProgress(), None, created_at=now, result=result)


def test_jobs_take_one_line_until_one_runs_or_waits_to_be_continued(qtbot: QtBot) -> None:
    panel = JobsPanel()
    qtbot.addWidget(panel)
    assert panel.list_area.isHidden()
    panel.show_jobs([job_in(JobState.RUNNING)])
    assert not panel.list_area.isHidden()
    panel.show_jobs([job_in(JobState.DONE), job_in(JobState.FAILED)])
    assert panel.list_area.isHidden()
    assert panel.message_label.text() == "Last job: mine, done: 3 candidates in 2 series"
    QTest.mouseClick(panel.list_button, Qt.MouseButton.LeftButton)
    assert not panel.list_area.isHidden()
    QTest.mouseClick(panel.list_button, Qt.MouseButton.LeftButton)
    assert panel.list_area.isHidden()
    for state in (JobState.FAILED, JobState.CANCELLED):
        panel.show_jobs([job_in(state), job_in(JobState.DONE)])
        assert not panel.list_area.isHidden()
    panel.show_jobs([job_in(JobState.DONE)])
    panel.show_message("No worker can be started")
    assert panel.message_label.text() == "No worker can be started"


def test_nothing_to_detect_is_said_and_no_job_is_made(docks: JobsController, qtbot: QtBot) -> None:
    docks.jobs_panel.detect_button.click()
    said = docks.jobs_panel.message_label
    qtbot.waitUntil(lambda: "looked at every series" in said.text(), timeout=PATIENCE_MS)
    assert docks.jobs == ()


@pytest.fixture
def worker(project_folder: Path) -> Iterator[None]:
    """Let a worker do the jobs of the project."""
    ensure_worker(Project.open(project_folder))
    yield
    for record in workers(Project.open(project_folder)):
        process = psutil.Process(record.pid)
        process.terminate()
        process.wait(FOR_EVER_SECONDS)


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(("place", "name"), [(0, "test-set.pkl"), (1, "test-set.json")])
def test_the_test_set_is_exported_in_the_form_chosen_and_its_place_is_told(
    docks: JobsController, qtbot: QtBot, project_folder: Path, place: int, name: str
) -> None:
    database = Database.open(Project.open(project_folder))
    mark_complete(database, add_held_out_series(project_folder).id)
    database.close()
    choose_export(docks, place)
    row = row_of(docks, qtbot, JobKind.EXPORT)
    qtbot.waitUntil(lambda: has_state(docks, row, JobState.DONE), timeout=PATIENCE_MS)
    assert row.stage_label.text() == f"done: wrote exports/{name}: 1 series, 1 lesions"
    assert (project_folder / "exports" / name).is_file()
    said = docks.jobs_panel.message_label.text()
    assert said.startswith(f"The test set is in {project_folder / 'exports' / name}")
    assert "test-set_mapping.csv" in said


def choose_export(docks: JobsController, place: int) -> None:
    """Open the menu of the export button and click one of its entries."""
    docks.jobs_panel.show_export_menu()
    menu = docks.jobs_panel.export_menu
    QTest.mouseClick(
        menu,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
        menu.actionGeometry(menu.actions()[place]).center(),
    )


def test_retrain_freezes_a_snapshot_and_queues_the_training(
    docks: JobsController, qtbot: QtBot, project_folder: Path
) -> None:
    docks.show_retrain()
    button = docks.retrain_panel.retrain_button
    qtbot.waitUntil(button.isEnabled, timeout=PATIENCE_MS)
    button.click()
    row = row_of(docks, qtbot, JobKind.TRAIN)
    assert len(list((project_folder / "snapshots").glob("*.json"))) == 1
    assert not button.isEnabled()
    row.stop_button.click()
    qtbot.waitUntil(button.isEnabled, timeout=PATIENCE_MS)


class CountingStore(ProjectStore):
    """Counts slowly, as a large project does."""

    counted = 0

    def learning_plan(self) -> LearningPlan:
        self.counted += 1
        time.sleep(0.2)
        return super().learning_plan()


def test_a_verdict_does_not_wait_until_what_would_be_learned_is_counted(qtbot: QtBot, project_folder: Path) -> None:
    store, commits = CountingStore(Project.open(project_folder)), Lane("commits")
    controller = JobsController(store, commits, start_worker=False)
    for panel in (controller.jobs_panel, controller.models_panel, controller.retrain_panel):
        qtbot.addWidget(panel)
    for _ in range(50):
        controller.refresh_plan()
    assert commits.waiting == 0
    qtbot.waitUntil(lambda: store.counted == 2, timeout=PATIENCE_MS)
    qtbot.waitUntil(lambda: controller.retrain_panel.plan_label.text() != "", timeout=PATIENCE_MS)
    qtbot.wait(500)
    assert store.counted == 2
    controller.close()
    commits.close(finish=True)
    store.close()


def test_a_training_says_what_it_learns_from_and_is_followed_when_continued(
    docks: JobsController, qtbot: QtBot
) -> None:
    panel = docks.retrain_panel
    qtbot.waitUntil(panel.retrain_button.isEnabled, timeout=PATIENCE_MS)
    planned = panel.plan_label.text().splitlines()[:-1]
    panel.retrain_button.click()
    row = row_of(docks, qtbot, JobKind.TRAIN)
    qtbot.waitUntil(lambda: not panel.frozen_label.isHidden() and not panel.bar.isHidden(), timeout=PATIENCE_MS)
    assert all(count.removeprefix("+ ") in panel.frozen_label.text() for count in planned)
    row.stop_button.click()
    qtbot.waitUntil(panel.frozen_label.isHidden, timeout=PATIENCE_MS)
    assert "was stopped" in panel.state_label.text()
    row.resume_button.click()
    qtbot.waitUntil(lambda: not panel.bar.isHidden(), timeout=PATIENCE_MS)
    assert not panel.retrain_button.isEnabled()


def test_what_a_reader_need_not_know_is_folded_away_until_it_is_wanted(docks: JobsController, qtbot: QtBot) -> None:
    panel = docks.retrain_panel
    panel.show()
    assert panel.form.native.visibleRegion().isEmpty()
    QTest.mouseClick(panel.advanced.toggleButton(), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.form.steps.native.visibleRegion().isEmpty(), timeout=PATIENCE_MS)
    assert panel.choices == TrainChoices(steps=None, seed=0, promote=False, from_scratch=False)


def test_before_the_first_training_its_duration_is_promised_for_later(docks: JobsController) -> None:
    assert "shortly after the start" in docks.retrain_panel.duration_label.text()
    assert docks.retrain_panel.use_button.isHidden()


def test_after_another_version_came_into_use_one_button_detects_and_mines_again(
    docks: JobsController, qtbot: QtBot, project_folder: Path
) -> None:
    add_version(project_folder)
    docks.refresh_models()
    panel = docks.models_panel
    qtbot.waitUntil(lambda: len(panel.rows) == 2, timeout=PATIENCE_MS)
    assert panel.outdated_list.isHidden()
    item = panel.tree.topLevelItem(0)
    assert item is not None
    panel.tree.setCurrentItem(item)
    panel.promote_button.click()
    qtbot.waitUntil(lambda: not panel.outdated_list.isHidden(), timeout=PATIENCE_MS)
    words = panel.outdated_list.words_label.text()
    assert "v2 is in use and has not looked at" in words
    assert "still comes from v1" in words
    panel.outdated_list.mine_button.click()
    row = row_of(docks, qtbot, JobKind.MINE)
    qtbot.waitUntil(lambda: not panel.outdated_list.bar.isHidden(), timeout=PATIENCE_MS)
    assert not panel.outdated_list.mine_button.isEnabled()
    row.stop_button.click()
    qtbot.waitUntil(panel.outdated_list.mine_button.isEnabled, timeout=PATIENCE_MS)


def add_version(folder: Path) -> None:
    """Make the model in use the parent of another version."""
    database = Database.open(Project.open(folder))
    models = Models(database)
    models.register(models.promoted().folder, parent="v1")
    database.close()


def test_without_complete_held_out_series_the_gain_is_not_measurable(docks: JobsController, qtbot: QtBot) -> None:
    label = docks.retrain_panel.measure_label
    qtbot.waitUntil(lambda: "Not measurable yet" in label.text(), timeout=PATIENCE_MS)
    assert "at least 3 test series" in label.text()


def test_the_demo_model_says_that_it_saw_no_patient(docks: JobsController, qtbot: QtBot) -> None:
    label = docks.models_panel.notice_label
    qtbot.waitUntil(lambda: "not trained on patients" in label.text(), timeout=PATIENCE_MS)


def test_measured_versions_are_drawn_and_told_in_words(
    docks: JobsController, qtbot: QtBot, project_folder: Path
) -> None:
    database = Database.open(Project.open(project_folder))
    Models(database).add_evaluation("v1", evaluation(0.471))
    database.close()
    docks.refresh_models()
    panel = docks.models_panel
    qtbot.waitUntil(lambda: "47.1" in panel.words_label.text(), timeout=PATIENCE_MS)
    item = panel.tree.topLevelItem(0)
    assert item is not None
    assert item.text(3) == "47.1"
    assert panel.findChild(FigureCanvasQTAgg) is not None


def test_the_gain_is_told_with_its_interval(docks: JobsController, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: bool(docks.models_panel.rows), timeout=PATIENCE_MS)
    view = froc_view([docks.models_panel.rows[0].record], {"v1": [evaluation(0.49, compared_with="v1")]})
    assert "49.0, interval of the difference -0.6 to +4.3: not certain yet" in view.words
    assert "IoU" not in view.words
    assert "IoU: 39.0 → 39.0, interval" in view.details
    assert view.averages["v1"] == "49.0"


def test_nothing_measured_is_said(docks: JobsController, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: bool(docks.models_panel.words_label.text()), timeout=PATIENCE_MS)
    assert "Nothing has been measured" in docks.models_panel.words_label.text()
    assert docks.models_panel.findChild(FigureCanvasQTAgg) is None


def test_the_log_of_a_job_is_shown_and_hidden_by_its_button(docks: JobsController, qtbot: QtBot) -> None:
    docks.jobs_panel.mine_button.click()
    row = row_of(docks, qtbot, JobKind.MINE)
    log = docks.jobs_panel.log_view
    row.log_button.click()
    qtbot.waitUntil(lambda: not log.isHidden(), timeout=PATIENCE_MS)
    assert log.toPlainText() == "Nothing is written yet."
    row.log_button.click()
    qtbot.waitUntil(log.isHidden, timeout=PATIENCE_MS)
