"""`lens detect` in another precision, and for several workers, with a real one."""

import re

import pytest
from support.processes.command_line import lens
from support.projects.worker_project import database, jobs, known_worker, start_worker, tiny_checkpoint

from lens_engine.jobs.inputs import DetectInputs
from lens_engine.jobs.status import JobQueue, JobState, JobStatus, wait_for
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_napari.cli.verbs.job_requests import follow

__all__ = ["database", "jobs", "known_worker", "start_worker", "tiny_checkpoint"]


@pytest.mark.slow
@pytest.mark.usefixtures("known_worker")
def test_detecting_in_bf16_says_which_version_that_is_and_detects_as_that_one(database: Database) -> None:
    series = Catalog(database).all_series()[0]

    def run(*arguments: str) -> str:
        done = lens("detect", "--series", series.name, "--wait", *arguments, folder=database.project.folder)
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.split())

    assert "v1 in bf16 is the model version v2" in run("--precision", "bf16")
    assert Detections(database).exists(series.id, "v2")
    assert not Detections(database).exists(series.id, "v1")
    assert "is taken: bf16 is" in run("--precision", "auto")
    assert "bf16" in lens("models", folder=database.project.folder).stdout


@pytest.mark.slow
@pytest.mark.usefixtures("known_worker")
def test_jobs_for_two_workers_detect_in_each_series_once_also_where_one_worker_does_both(
    database: Database, jobs: JobQueue
) -> None:
    done = lens("detect", "--workers", "2", "--wait", folder=database.project.folder)
    assert done.returncode == 0, done.stderr
    assert "6 series with v1, 0 of them detected by another job or before." in done.stdout
    asked = [job.id for job in jobs.jobs()]
    assert len(asked) == 2
    assert {wait_for(jobs, job, timeout_seconds=60).state for job in asked} == {JobState.DONE}
    said = "".join(jobs.log_file(job).read_text() for job in asked)
    names = [series.name for series in Catalog(database).all_series(with_images=True)]
    assert sorted(re.findall(r"series (\S+): detected", said)) == sorted(names)


def test_an_interrupted_wait_ends_the_jobs_that_are_not_over_and_names_no_other(
    jobs: JobQueue, capsys: pytest.CaptureFixture[str]
) -> None:
    over, queued = (jobs.submit(DetectInputs(series_ids=(1,), model_version="v1")) for _ in range(2))
    jobs.cancel(over)

    def interrupted() -> JobStatus:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow(jobs, [over, queued], interrupted)
    assert jobs.status(queued).state is JobState.CANCELLED
    said = capsys.readouterr().out
    assert over not in said
    assert f"Job {queued} was asked to end" in " ".join(said.split())
