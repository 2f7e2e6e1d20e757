"""Watch over the jobs of a project for whoever waits for them: which lost their worker, and whether one is alive.

A worker that dies says nothing. On the computer of whoever looks, its process is missed within `LOOK_SECONDS`; on
another one, its heartbeat within `heartbeat.STALE_SECONDS`. Its job is interrupted until then, and goes on at the step
it was in as soon as any worker is alive.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from lens_engine.jobs.heartbeat import living_workers
from lens_engine.jobs.launcher import ensure_worker
from lens_engine.jobs.status import JobState, JobStatus
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.workers import Workers

LOOK_SECONDS = 2.0
START_AGAIN_SECONDS = 30.0
"""How long a worker that was started may take to say that it is alive, before another one is started."""


class WorkerWatch:
    """Looks at the workers of one project, at most every `LOOK_SECONDS`."""

    def __init__(self, project: Project, clock: Callable[[], float] = time.monotonic) -> None:
        self._project = project
        self._clock = clock
        self._database: Database | None = None
        self._living: frozenset[str] = frozenset()
        self._looked_at = float("-inf")
        self._started_at = float("-inf")

    def look(self, jobs: Sequence[JobStatus]) -> tuple[JobStatus, ...]:
        """Return jobs as they stand; one that runs on a worker that is dead is interrupted.

        Raises
        ------
        StoreError
            If the project's database does not answer.
        """
        if not any(job.state is JobState.RUNNING for job in jobs):
            return tuple(jobs)
        living = self._living_workers()
        return tuple(
            replace(job, state=JobState.INTERRUPTED)
            if job.state is JobState.RUNNING and job.worker not in living
            else job
            for job in jobs
        )

    def look_at(self, job: JobStatus) -> JobStatus:
        """Return one job as it stands, see `look`; start a worker where it waits for one in vain."""
        (seen,) = self.look([job])
        self.revive([seen])
        return seen

    def revive(self, jobs: Sequence[JobStatus]) -> bool:
        """Start a worker where any job is open and none is alive; return whether one was started.

        Raises
        ------
        JobError
            If this computer cannot run one.
        """
        now = self._clock()
        if all(job.state.is_final for job in jobs) or now - self._started_at < START_AGAIN_SECONDS:
            return False
        if self._living_workers():
            return False
        self._started_at = now
        return ensure_worker(self._project)

    def close(self) -> None:
        """Let go of the database."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _living_workers(self) -> frozenset[str]:
        now = self._clock()
        if now - self._looked_at >= LOOK_SECONDS:
            if self._database is None:
                self._database = Database.open(self._project)
            self._living = frozenset(worker.worker_id for worker in living_workers(Workers(self._database)))
            self._looked_at = now
        return self._living
