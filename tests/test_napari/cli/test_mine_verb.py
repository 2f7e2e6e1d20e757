"""`lens mine` on a small real project: what it prints, and what it says of input that it cannot use."""

import subprocess

import pytest
from support.processes.command_line import lens
from support.projects.worker_project import database, jobs, known_worker, start_worker, tiny_checkpoint

from lens_engine.findings import Candidate, SliceBox
from lens_engine.jobs.inputs import DetectInputs, JobKind
from lens_engine.jobs.queue import DbosJobQueue
from lens_engine.jobs.results import MineResult
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database

__all__ = ["database", "jobs", "known_worker", "start_worker", "tiny_checkpoint"]

pytestmark = pytest.mark.slow


@pytest.fixture
def detected(database: Database, known_worker: None) -> Database:
    """Return a project with a worker that has detected in every scan."""
    run(database, "detect")
    return database


def run(database: Database, *arguments: str) -> str:
    done = lens(*arguments, "--wait", folder=database.project.folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(database: Database) -> str:
    done = lens("mine", "--wait", folder=database.project.folder)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def candidates(database: Database) -> list[Candidate]:
    return list(Candidates(database).latest().values())


def test_a_mining_may_look_first_at_what_the_model_has_not_seen(database: Database, known_worker: None) -> None:
    printed = run(database, "mine", "--detect")
    assert "candidates in 5 series of 5 patients." in printed
    assert len(candidates(database)) > 0


def test_what_is_taught_is_printed_by_rule_and_kept_with_the_job(detected: Database, jobs: DbosJobQueue) -> None:
    printed = run(detected, "mine")
    job = jobs.last_done(JobKind.MINE)
    result = MineResult.model_validate(dict(job.result))
    assert f"{result.candidates} candidates in 5 series of 5 patients." in printed
    assert [row.name for row in result.label_counts][:2] == ["no mining", "+ cross-slice"]
    assert (result.label_counts[0].lesions, result.label_counts[0].boxes) == (4, 16)
    for row in result.label_counts:
        (line,) = (line for line in printed.splitlines() if row.name in line)
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        assert cells == [row.name, *map(str, (row.lesions, row.boxes, row.uncertain_boxes, row.slices))]
    assert "nothing can be matched within a patient" in printed
    again = lens("jobs", "--result", job.id, folder=detected.project.folder)
    assert again.stdout.split("\n")[1:] == printed.split("\n")[-len(again.stdout.split("\n")) + 1 :]


def test_half_written_detections_are_named_and_detected_anew(detected: Database) -> None:
    run(detected, "mine")
    before = candidates(detected)
    file = next(detected.project.detections_folder.glob("v1/*.parquet"))
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    message = refused(detected)
    assert f"The detections v1/{file.name} are missing or damaged." in message
    assert "lens detect --model v1" in message
    assert candidates(detected) == before
    run(detected, "detect", "--model", "v1")
    run(detected, "mine")
    assert candidates(detected) == before


def test_an_annotation_outside_its_scan_is_named_and_candidates_stay(detected: Database) -> None:
    run(detected, "mine")
    before = candidates(detected)
    series = Catalog(detected).all_series()[0]
    box = (10.0, 10.0, 200.0, 20.0, 20.0, 201.0)
    sections = (SliceBox(200, (10.0, 10.0, 20.0, 20.0)),)
    label, drawn = AnnotationRole.LABEL, AnnotationOrigin.DRAWN
    Annotations(detected).add([NewAnnotation(series.id, box, sections, label, drawn, key_slice=200)])
    message = refused(detected)
    assert "lies on the slices 200 to 200 of series" in message
    assert "has the slices 0 to 59" in message
    assert candidates(detected) == before


def test_a_job_that_is_not_done_has_no_result(database: Database, jobs: DbosJobQueue) -> None:
    job_id = jobs.submit(DetectInputs(series_ids=(1,), model_version="v1"))
    asked: subprocess.CompletedProcess[str] = lens("jobs", "--result", job_id, folder=database.project.folder)
    assert asked.returncode == 1
    assert f"Job {job_id} is queued" in asked.stderr
