"""What everyone may know about a job: frozen snapshots, and the face of the queue that hands them out.

Knows neither the engine that runs jobs nor a database: a viewer, a command line and a test need no more than this.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Protocol

from lens_engine.errors import JobError
from lens_engine.jobs.inputs import JobInputs, JobKind


class Urgency(IntEnum):
    """Which of two waiting jobs comes first; of two alike, the one that was asked for first."""

    READER = 1
    """Somebody sits before the viewer and waits. A worker leaves a less urgent job for it after the series in work."""
    BULK = 10
    """Asked for from a shell or a script."""


class JobState(StrEnum):
    """Where a job stands. The last three are final, though a failed or cancelled job may be resumed by a person."""

    QUEUED = "queued"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    """Its worker is gone; it goes on at the step it was in as soon as one is alive. Only a `WorkerWatch` sees that."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens without a person."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is.

    Attributes
    ----------
    stage
        What is being done, for people: "Detecting in series 000001_01_01_000-079".
    done, total
        Finished and planned units of this job (series, training steps), series that another job has detected in
        among the finished; total 0 while it is not known.
    partial
        Finished share of the unit in work, in [0, 1].
    eta_seconds
        Expected remaining time; None while it cannot be told.
    """

    stage: str = ""
    done: int = 0
    total: int = 0
    partial: float = 0.0
    eta_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.done < 0 or self.total < 0:
            raise JobError(f"Progress of {self.done} of {self.total}", "Neither may be negative", "")

    @property
    def fraction(self) -> float:
        """Finished share of the job, in [0, 1], for a bar; 0 while the total is not known."""
        return min(1.0, (self.done + self.partial) / self.total) if self.total else 0.0


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One job at one moment.

    Attributes
    ----------
    progress
        What the last report said; it is kept when the job ends.
    worker
        Executor id of the worker that runs or ran it; None while it is queued.
    error
        Why it failed, in words for a user, without a stack trace; None unless the state is FAILED.
    result
        What it leaves behind, as the kind's model in `lens_engine.jobs.results`; empty unless the state is DONE.
    """

    id: str
    kind: JobKind
    state: JobState
    progress: JobProgress
    worker: str | None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None
    result: Mapping[str, object] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        """What is being done, for people."""
        return self.progress.stage

    @property
    def done(self) -> int:
        """Finished units."""
        return self.progress.done

    @property
    def total(self) -> int:
        """Planned units; 0 while it is not known."""
        return self.progress.total

    @property
    def duration_seconds(self) -> float | None:
        """How long it ran until it ended; None where it has not."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def eta_seconds(self) -> float | None:
        """Expected remaining time; None while it cannot be told."""
        return self.progress.eta_seconds


class JobQueue(Protocol):
    """Where jobs are asked for and followed; safe to use from several threads."""

    def submit(self, inputs: JobInputs, urgency: Urgency = Urgency.BULK) -> str:
        """Queue a job and return its id."""
        ...

    def status(self, job_id: str) -> JobStatus:
        """Return how a job stands. Raises `JobError` when there is no such job."""
        ...

    def jobs(self, limit: int = 50) -> tuple[JobStatus, ...]:
        """Return the latest jobs, newest first."""
        ...

    def last_done(self, kind: JobKind) -> JobStatus | None:
        """Return the latest job of a kind that is done, None before the first."""
        ...

    def cancel(self, job_id: str) -> None:
        """Ask a job to end; its process is gone within seconds. Nothing happens to a job that has ended."""
        ...

    def resume(self, job_id: str) -> str:
        """Let a cancelled or failed job go on behind what it had finished, and return the id to follow.

        A cancelled job keeps its id. A failed one stays as it is, for the record, and a new job with the same inputs
        takes its place. Raises `JobError` for a job that is not over, or done.
        """
        ...

    def give_back(self, job_id: str, executor_id: str) -> None:
        """Queue a running job again behind its last finished step, if it is still that worker's."""
        ...

    def log_file(self, job_id: str) -> Path:
        """Return where the job's log is, or will be."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


def wait_for(
    queue: JobQueue,
    job_id: str,
    on_status: Callable[[JobStatus], None] | None = None,
    timeout_seconds: float | None = None,
    poll_seconds: float = 0.25,
    look_at: Callable[[JobStatus], JobStatus] = lambda status: status,
) -> JobStatus:
    """Block until a job has ended, reporting each change, and return its last status.

    Parameters
    ----------
    look_at
        Returns a status with what the queue cannot know, such as `WorkerWatch.look_at` does.

    Raises
    ------
    JobError
        The job is not over after `timeout_seconds` (None: never).
    """
    started = time.monotonic()
    before: JobStatus | None = None
    while True:
        status = look_at(queue.status(job_id))
        if on_status is not None and status != before:
            on_status(status)
        if status.state.is_final:
            return status
        if timeout_seconds is not None and time.monotonic() - started > timeout_seconds:
            raise JobError(
                f"The {status.kind} job {job_id} is still {status.state} after {timeout_seconds:.0f} seconds",
                "It should have ended by then",
                "See 'lens jobs' for what it does, and 'lens doctor' for whether a worker is alive",
            )
        before = status
        time.sleep(poll_seconds)
