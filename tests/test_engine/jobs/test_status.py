import pytest

from lens_engine.errors import JobError
from lens_engine.jobs.inputs import DetectInputs, MineInputs
from lens_engine.jobs.status import JobProgress, JobState, wait_for


def test_only_done_failed_and_cancelled_are_final():
    assert {state for state in JobState if state.is_final} == {JobState.DONE, JobState.FAILED, JobState.CANCELLED}


def test_fraction_counts_the_unit_in_work():
    assert JobProgress(done=1, total=4, partial=0.5).fraction == pytest.approx(0.375)
    assert JobProgress().fraction == 0.0


def test_negative_progress_is_refused():
    with pytest.raises(JobError, match="-1"):
        JobProgress(done=-1)


def test_waiting_for_a_job_that_nobody_runs_ends_with_an_error(jobs):
    job_id = jobs.submit(MineInputs(model_version="v1"))
    with pytest.raises(JobError, match="still queued"):
        wait_for(jobs, job_id, timeout_seconds=0.2, poll_seconds=0.05)


def test_waiting_reports_every_change_once(jobs):
    job_id = jobs.submit(DetectInputs(series_ids=(1,), model_version="v1"))
    jobs.cancel(job_id)
    seen = []
    assert wait_for(jobs, job_id, seen.append).state is JobState.CANCELLED
    assert [status.state for status in seen] == [JobState.CANCELLED]
