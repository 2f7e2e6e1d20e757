"""Jobs from end to end: a real queue, real workers, real child processes."""

import json
import os
import subprocess
import sys

import psutil
import pytest
from support.processes.waiting import FOR_EVER_SECONDS, wait_for_end, wait_until

from lens_engine.errors import JobError
from lens_engine.findings import FUSED, Rule, Split
from lens_engine.io.annotations.manual_test_set import ExportFormat
from lens_engine.jobs.environment import process_environment
from lens_engine.jobs.inputs import DetectInputs, EvaluateInputs, ExportInputs, JobKind, MineInputs, TrainInputs
from lens_engine.jobs.launcher import ensure_worker, worker_alive, workers
from lens_engine.jobs.queue import open_queue
from lens_engine.jobs.results import DetectResult, EvaluateResult, ExportResult, MineResult, TrainResult
from lens_engine.jobs.status import JobState
from lens_engine.project import Project
from lens_engine.snapshot import LabelSet
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import Models

ENDS_FOR_LACK_OF_SPACE = """
import json, sys
from pathlib import Path

out = Path(sys.argv[sys.argv.index("--out") + 1])
parts = {"happened": "The disk is full", "expected": "", "remedy": "Free space", "can_go_on": True}
(out / "error.json").write_text(json.dumps(parts))
raise SystemExit(1)
"""


@pytest.fixture
def series(database):
    return Catalog(database).all_series()


@pytest.mark.slow
def test_every_kind_of_job_does_its_part(database, jobs, series, start_worker):
    def result_of(inputs):
        status = wait_for_end(jobs, jobs.submit(inputs))
        assert status.state is JobState.DONE, status.error
        assert status.done == status.total > 0
        return status.result

    start_worker()
    detected = DetectResult(**result_of(DetectInputs(series_ids=[item.id for item in series], model_version="v1")))
    assert (detected.series, detected.skipped) == (len(series), 0)
    assert detected.boxes == Detections(database).counts("v1")
    assert detected.boxes[FUSED] > 0

    mined = MineResult(**result_of(MineInputs(model_version="v1")))
    candidates = Candidates(database).queue(split=None)
    assert len(candidates) == mined.candidates > 0
    assert mined.by_reason[Rule.CROSS_DATASET] > 0
    test_series = {item.id for item in series if item.split is Split.TEST}
    assert test_series.isdisjoint(record.candidate.series_id for record in candidates)

    snapshot = Snapshots(database).freeze(LabelSet.MINED)
    train = TrainInputs(snapshot_id=snapshot.id, parent_version="v1", steps=2, promote=True)
    trained = TrainResult(**result_of(train))
    assert (trained.model_version, trained.steps) == ("v2", 2)
    last = jobs.last_done(JobKind.TRAIN)
    assert last.result["model_version"] == "v2"
    assert 0 < last.duration_seconds < 90
    model = Models(database).promoted()
    assert (model.version, model.parent, model.snapshot_id) == ("v2", "v1", snapshot.id)

    measured = EvaluateResult(**result_of(EvaluateInputs(model_versions=("v1", "v2"))))
    assert (measured.series, measured.lesions) == (1, 1)
    assert measured.difference.keys() == {"v2"}
    assert Models(database).evaluations("v2")[0].result["compared_with"] == "v1"

    exported = ExportResult(**result_of(ExportInputs(format=ExportFormat.JSON, target="truth.json")))
    assert (exported.series, exported.lesions) == (2, 2)
    assert (database.project.exports_folder / "truth.json").is_file()


@pytest.mark.slow
def test_what_cannot_be_done_is_said_in_words_and_keeps_nothing_else_waiting(database, jobs, series, start_worker):
    start_worker()
    series[1].source.paths[0].unlink()
    detect = wait_for_end(jobs, jobs.submit(DetectInputs(series_ids=[s.id for s in series], model_version="v1")))
    assert detect.state is JobState.FAILED
    assert f"1 of {len(series)} series could not be used" in detect.error
    assert series[1].name in detect.error
    assert len(Detections(database).series_ids("v1")) == len(series) - 1

    unknown = wait_for_end(jobs, jobs.submit(DetectInputs(series_ids=(series[0].id,), model_version="v9")))
    assert unknown.state is JobState.FAILED
    assert "v9" in unknown.error
    assert "Traceback" not in unknown.error

    unseen = wait_for_end(jobs, jobs.submit(MineInputs(model_version="v9")))
    assert "lens detect" in unseen.error

    for item in series:
        Catalog(database).mark_complete(item.id, None, complete=False)
    measured = wait_for_end(jobs, jobs.submit(EvaluateInputs(model_versions=("v1",))))
    assert measured.state is JobState.DONE
    assert not measured.result["measurable"]
    assert "mark them complete" in measured.result["what_to_do"]
    assert "--split val" not in measured.result["what_to_do"]

    held_out = next(item for item in series if item.split is Split.VAL)
    Catalog(database).mark_complete(held_out.id, "val")
    elsewhere = wait_for_end(jobs, jobs.submit(EvaluateInputs(model_versions=("v1",))))
    assert (
        "1 complete series is in the val part: measure there with 'lens evaluate --split val'"
        in (elsewhere.result["what_to_do"])
    )


@pytest.mark.slow
def test_a_training_that_fails_says_what_happened_what_was_expected_and_what_to_do(database, jobs, start_worker):
    start_worker()
    weights = Models(database).get("v1").folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    inputs = TrainInputs(snapshot_id=Snapshots(database).freeze(LabelSet.ORIGINAL).id, parent_version="v1", steps=2)
    status = wait_for_end(jobs, jobs.submit(inputs))
    assert status.state is JobState.FAILED
    parts = json.loads((jobs.log_file(status.id).parent / "training" / "error.json").read_text())
    assert status.error == str(JobError(parts["happened"], parts["expected"], parts["remedy"]))
    assert "An intact file is needed. Copy it again." in status.error


@pytest.mark.slow
def test_the_error_of_an_earlier_training_does_not_explain_a_later_one(database, jobs, start_worker, monkeypatch):
    (database.project.folder / "lightning.py").write_text("raise SystemExit(1)")
    monkeypatch.setenv("PYTHONPATH", str(database.project.folder), prepend=os.pathsep)
    worker = start_worker()
    inputs = TrainInputs(snapshot_id=Snapshots(database).freeze(LabelSet.ORIGINAL).id, parent_version="v1", steps=2)
    job_id = jobs.submit(inputs)
    output = jobs.log_file(job_id).parent / "training"
    output.mkdir(parents=True)
    (output / "error.json").write_text('{"happened": "long ago", "expected": "", "remedy": ""}')
    status = wait_for_end(jobs, job_id)
    assert worker.poll() is None
    assert "code 1 and without an answer" in status.error


@pytest.mark.slow
def test_a_training_that_can_go_on_says_with_which_command(database, jobs, start_worker, monkeypatch):
    (database.project.folder / "lightning.py").write_text(ENDS_FOR_LACK_OF_SPACE)
    monkeypatch.setenv("PYTHONPATH", str(database.project.folder), prepend=os.pathsep)
    start_worker()
    inputs = TrainInputs(snapshot_id=Snapshots(database).freeze(LabelSet.ORIGINAL).id, parent_version="v1", steps=2)
    status = wait_for_end(jobs, jobs.submit(inputs))
    assert status.error == f"The disk is full. Free space. Then go on with: lens jobs --resume {status.id}."


def test_a_worker_that_has_nothing_to_do_ends(database, start_worker):
    worker = start_worker(idle_seconds=0.5)
    assert worker.wait(FOR_EVER_SECONDS) == 0
    assert not worker_alive(database.project)


def test_a_second_worker_of_the_same_id_refuses(database, start_worker):
    first = start_worker("worker-a")
    wait_until(lambda: worker_alive(database.project), "the first worker is alive")
    command = [sys.executable, "-m", "lens_engine.worker", "--project", str(database.project.folder)]
    second = subprocess.run([*command, "--executor-id", "worker-a"], capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "Only one may be worker worker-a" in second.stderr
    assert f"The process {first.pid} already holds" in second.stderr
    assert "--executor-id" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_worker_outside_a_project_says_so(tmp_path):
    command = [sys.executable, "-m", "lens_engine.worker", "--project", str(tmp_path)]
    worker = subprocess.run(command, capture_output=True, text=True, check=False)
    assert worker.returncode == 1
    assert "is not a project" in worker.stderr


def test_one_worker_is_started_where_none_is_alive(database):
    assert ensure_worker(database.project)
    wait_until(lambda: worker_alive(database.project), "the worker is alive")
    assert not ensure_worker(database.project)
    (record,) = workers(database.project)
    worker = psutil.Process(record.pid)
    worker.terminate()
    worker.wait(FOR_EVER_SECONDS)


def test_jobs_are_done_in_the_order_in_which_they_were_asked_for(jobs, start_worker):
    submitted = [jobs.submit(MineInputs(model_version=f"v{number}")) for number in range(3, 8)]
    start_worker()
    for job_id in submitted:
        wait_for_end(jobs, job_id)
    assert sorted(submitted, key=lambda job_id: jobs.log_file(job_id).stat().st_mtime_ns) == submitted


def test_a_project_without_a_patient_to_mine_says_whom_to_add(tmp_path):
    project = Project.create(tmp_path / "empty")
    Database.create(project).close()
    queue = open_queue(project)
    job_id = queue.submit(MineInputs(model_version="v1"))
    command = [sys.executable, "-m", "lens_engine.worker", "--project", str(project.folder), "--idle-minutes", "0"]
    subprocess.run(command, env=process_environment(), check=True, timeout=60)
    assert "lens add PATH --split train" in queue.status(job_id).error
    queue.close()
