"""Waiting for other processes in tests, with an end."""

import time
from collections.abc import Callable

from lens_engine.jobs.queue import DbosJobQueue
from lens_engine.jobs.status import JobState, JobStatus

FOR_EVER_SECONDS = 40.0
"""Nothing takes so long that does not wait, however busy the computer is; what hangs in a test hangs for longer."""


def wait_until(
    condition: Callable[[], bool], what: str, timeout_seconds: float = 60.0, look_seconds: float = 0.05
) -> None:
    """Block until `condition` holds, looking again after a pause."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(look_seconds)


def wait_for_end(queue: DbosJobQueue, job_id: str, timeout_seconds: float = 90.0) -> JobStatus:
    """Block until a job has ended and return its status."""
    # Each look asks the database several things, which takes the processor from the job.
    wait_until(lambda: queue.status(job_id).state.is_final, f"{job_id} has ended", timeout_seconds, look_seconds=0.2)
    return queue.status(job_id)


def wait_for_progress(queue: DbosJobQueue, job_id: str, done: int) -> JobStatus:
    """Block until a job that is not over has finished `done` units."""
    wait_until(lambda: queue.status(job_id).done >= done, f"{job_id} has done {done}")
    status = queue.status(job_id)
    assert status.state is JobState.RUNNING, status
    return status
