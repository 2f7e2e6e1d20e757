"""Jobs, models and retrain docks on the real queue of a project, without a worker."""

from pathlib import Path
from typing import Any

import pytest

from lens_engine.jobs.inputs import JobKind
from lens_engine.jobs.status import JobState
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.models import Models
from lens_napari.controller import ReviewController
from lens_napari.froc_view import froc_view
from lens_napari.panels.jobs import JobRow

PATIENCE_SECONDS = 30.0


def row_of(review: ReviewController, kind: JobKind) -> JobRow:
    def find() -> JobRow | None:
        job = next((job for job in review.jobs.jobs if job.kind is kind), None)
        return review.jobs_panel.rows.get(job.id) if job else None

    assert review.wait_until(lambda: find() is not None, PATIENCE_SECONDS)
    row = find()
    assert row is not None
    return row


def has_state(review: ReviewController, row: JobRow, state: JobState) -> bool:
    return any(job.id == row.job_id and job.state is state for job in review.jobs.jobs)


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


def test_a_job_is_queued_cancelled_and_continued_by_buttons(review: ReviewController) -> None:
    review.jobs_panel.mine_button.click()
    row = row_of(review, JobKind.MINE)
    assert row.eta_label.text() == "waits"
    row.stop_button.click()
    assert review.wait_until(lambda: has_state(review, row, JobState.CANCELLED), PATIENCE_SECONDS)
    assert not row.resume_button.isHidden()
    row.resume_button.click()
    assert review.wait_until(lambda: has_state(review, row, JobState.QUEUED), PATIENCE_SECONDS)


def test_nothing_to_detect_is_said_and_no_job_is_made(review: ReviewController) -> None:
    review.jobs_panel.detect_button.click()
    said = review.jobs_panel.message_label
    assert review.wait_until(lambda: "looked at every series" in said.text(), PATIENCE_SECONDS)
    assert review.jobs.jobs == ()


def test_retrain_freezes_a_snapshot_and_queues_the_training(review: ReviewController, project_folder: Path) -> None:
    review.jobs.show_retrain()
    button = review.retrain_panel.retrain_button
    assert review.wait_until(button.isEnabled, PATIENCE_SECONDS)
    button.click()
    row = row_of(review, JobKind.TRAIN)
    assert len(list((project_folder / "snapshots").glob("*.json"))) == 1
    assert not button.isEnabled()
    row.stop_button.click()
    assert review.wait_until(button.isEnabled, PATIENCE_SECONDS)


def test_without_complete_held_out_series_the_gain_is_not_measurable(review: ReviewController) -> None:
    label = review.retrain_panel.measure_label
    assert review.wait_until(lambda: "Not measurable yet" in label.text(), PATIENCE_SECONDS)
    assert "at least 3 test series" in label.text()


def test_the_demo_model_says_that_it_saw_no_patient(review: ReviewController) -> None:
    label = review.models_panel.notice_label
    assert review.wait_until(lambda: "not trained on patients" in label.text(), PATIENCE_SECONDS)


def test_measured_versions_are_drawn_and_told_in_words(review: ReviewController, project_folder: Path) -> None:
    database = Database.open(Project.open(project_folder))
    Models(database).add_evaluation("v1", evaluation(0.471))
    database.close()
    review.jobs.refresh_models()
    panel = review.models_panel
    assert review.wait_until(lambda: "47.1" in panel.words_label.text(), PATIENCE_SECONDS)
    item = panel.tree.topLevelItem(0)
    assert item is not None
    assert item.text(3) == "47.1"
    assert panel.has_figure


def test_the_gain_is_told_with_its_interval(review: ReviewController) -> None:
    first = review.wait_until(lambda: bool(review.models_panel.rows), PATIENCE_SECONDS) and review.models_panel.rows[0]
    assert first
    view = froc_view([first.record], {"v1": [evaluation(0.49, compared_with="v1")]})
    assert "49.0, interval of the difference -0.6 to +4.3: not certain yet" in view.words
    assert view.averages["v1"] == "49.0"


def test_nothing_measured_is_said(review: ReviewController) -> None:
    assert review.wait_until(lambda: bool(review.models_panel.words_label.text()), PATIENCE_SECONDS)
    assert "Nothing has been measured" in review.models_panel.words_label.text()
    assert not review.models_panel.has_figure


@pytest.mark.parametrize("text", ["line one\nline two"])
def test_a_log_is_shown_and_hidden_again(review: ReviewController, text: str) -> None:
    review.jobs_panel.show_log(text)
    assert review.jobs_panel.log_view.toPlainText() == text
    assert not review.jobs_panel.log_view.isHidden()
