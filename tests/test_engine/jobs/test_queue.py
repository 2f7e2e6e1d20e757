import json
import subprocess
import sys

import pytest
from sqlalchemy import create_engine, text

from lens_engine.errors import JobError
from lens_engine.jobs.inputs import DetectInputs, JobKind, MineInputs
from lens_engine.jobs.queue import create_tables, open_queue
from lens_engine.jobs.status import JobState
from lens_engine.project import Project, ProjectSettings


@pytest.fixture
def jobs(tmp_path):
    queue = open_queue(Project.create(tmp_path / "project"))
    yield queue
    queue.close()


def test_a_queue_works_before_any_worker_ever_ran(jobs):
    assert jobs.jobs() == ()
    job_id = jobs.submit(DetectInputs(series_ids=(1, 2), model_version="v1"))
    status = jobs.status(job_id)
    assert (status.state, status.worker, status.started_at) == (JobState.QUEUED, None, None)
    assert [job.id for job in jobs.jobs()] == [job_id]
    assert jobs.has_open_jobs()
    assert jobs.open_job_counts() == {JobState.QUEUED: 1}
    assert jobs.workers_of_running_jobs() == {}


def test_the_newest_job_comes_first(jobs):
    submitted = [jobs.submit(MineInputs(model_version=f"v{number}")) for number in range(3)]
    assert [job.id for job in jobs.jobs(limit=2)] == submitted[:0:-1]


def test_a_job_that_waits_or_was_cancelled_is_not_the_last_one_done(jobs):
    jobs.submit(MineInputs(model_version="v1"))
    jobs.cancel(jobs.submit(MineInputs(model_version="v2")))
    assert jobs.last_done(JobKind.MINE) is None


def test_a_cancelled_job_keeps_its_id_when_resumed(jobs):
    job_id = jobs.submit(MineInputs(model_version="v1"))
    jobs.cancel(job_id)
    assert jobs.status(job_id).state is JobState.CANCELLED
    assert jobs.resume(job_id) == job_id
    assert jobs.status(job_id).state is JobState.QUEUED


def test_a_queued_job_cannot_be_resumed(jobs):
    job_id = jobs.submit(MineInputs(model_version="v1"))
    with pytest.raises(JobError, match=r"is queued.*interrupted"):
        jobs.resume(job_id)


@pytest.mark.parametrize("action", ["status", "cancel", "resume"])
def test_an_unknown_job_is_named(jobs, action):
    with pytest.raises(JobError, match="'nonsense'"):
        getattr(jobs, action)("nonsense")


def test_stored_inputs_are_json_without_paths(jobs, tmp_path):
    jobs.submit(DetectInputs(series_ids=(1, 2), model_version="v1"))
    engine = create_engine(f"sqlite:///{tmp_path}/project/store/jobs.sqlite")
    with engine.connect() as connection:
        (stored,) = connection.execute(text("SELECT inputs FROM workflow_input")).scalars()
    engine.dispose()
    assert json.loads(stored)["positionalArgs"] == [{"series_ids": [1, 2], "model_version": "v1", "compiles": False}]


def test_the_jobs_database_is_in_wal_mode(jobs, tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/project/store/jobs.sqlite")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    engine.dispose()


def test_an_unreachable_database_is_one_clear_error(tmp_path):
    with pytest.raises(JobError, match="cannot be opened"):
        create_tables(f"sqlite:///{tmp_path}/nowhere/jobs.sqlite")


def test_an_unreachable_server_is_one_clear_error(tmp_path):
    settings = ProjectSettings(name="p", jobs_database_url="postgresql+psycopg://127.0.0.1:1/none")
    with pytest.raises(JobError, match="cannot be opened"):
        open_queue(Project.create(tmp_path / "project", settings=settings))


def test_the_client_never_imports_torch():
    code = (
        "import sys; import lens_engine.jobs.queue, lens_engine.jobs.launcher; "
        "sys.exit(bool({'torch', 'lens_engine.worker', 'lens_engine.mining'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
