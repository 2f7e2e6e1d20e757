"""The experiment runs through real projects and real jobs, and goes on where it was left."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from lens_engine.jobs.queue import open_queue
from lens_engine.phantom.patient import UNIVERSAL
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_training.cli.app import app
from lens_training.loop.cohorts import truth_of
from lens_training.loop.design import LOOP_FILE, PART_ARMS, Arm, LoopDesign
from lens_training.loop.replicate import BASE
from lens_training.loop.run import FIGURE_FILE, ORDERS_FILE, PAGE_FILE, RESULTS_FILE, run_loop

SMALL = LoopDesign.model_validate(
    {
        "title": "small",
        "replicates": 1,
        "universal": {"first": 1200, "count": 1},
        "single_type": {"first": 1800, "count": 1},
        "studies": 1,
        "withheld_share": 0.5,
        "test": {"first": 2100, "count": 1},
        "base_steps": 3,
        "arm_steps": 2,
        "part": 0.3,
    }
)


def lens_training(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def jobs_of(folder: Path) -> list[str]:
    queue = open_queue(Project.open(folder))
    try:
        return sorted(status.id for status in queue.jobs())
    finally:
        queue.close()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_experiment_trains_every_arm_in_a_real_project_and_repeats_no_job(tmp_path: Path) -> None:
    said: list[str] = []
    results = run_loop(SMALL, tmp_path / "loop", said.append)
    project, complete = tmp_path / "loop" / "run-1" / "project", tmp_path / "loop" / "run-1" / "complete"
    assert set(results.outputs[0].averages) == {BASE, *(arm.value for arm in Arm)}
    assert results.test_patients == 1
    assert set(results.labels[0]) == {arm.value for arm in Arm}
    drawn = Decisions(Database.open(Project.open(complete))).current()
    truth = truth_of(tmp_path / "loop" / "run-1" / "cohort", UNIVERSAL)
    assert len(drawn) == sum(len(series.drawn) for series in truth.values())
    assert json.loads((tmp_path / "loop" / RESULTS_FILE).read_text(encoding="utf-8"))["design"]["title"] == "small"
    assert "Primary measure" in (tmp_path / "loop" / PAGE_FILE).read_text(encoding="utf-8")
    for picture in (FIGURE_FILE, ORDERS_FILE):
        assert (tmp_path / "loop" / picture).stat().st_size > 10_000
    in_all = sum(results.answers[0][Arm.DECIDED.value].values())
    for arm in PART_ARMS.values():
        assert 0 < sum(results.answers[0][arm.value].values()) < in_all

    before = jobs_of(project) + jobs_of(complete)
    assert run_loop(SMALL, tmp_path / "loop", said.append) == results
    assert jobs_of(project) + jobs_of(complete) == before


def test_the_experiment_never_begins_in_a_folder_with_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    result = lens_training("recipe", "run", "loop", "--out", tmp_path)
    assert result.exit_code == 1
    assert "holds files already" in result.stderr
    assert "--resume" in result.stderr


def test_an_option_that_would_change_the_experiment_is_refused(tmp_path: Path) -> None:
    result = lens_training("recipe", "run", "loop", "--out", tmp_path / "out", "--steps", "5", "--seed", "3")
    assert result.exit_code == 1
    assert "--seed, --steps" in result.stderr or "--steps, --seed" in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_experiment_is_listed_and_shown() -> None:
    assert "loop" in lens_training("recipe", "list").stdout
    assert lens_training("recipe", "show", "loop").stdout == LOOP_FILE.read_text(encoding="utf-8")
