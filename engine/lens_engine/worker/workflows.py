"""The job kinds as DBOS workflows: the only module that knows how durable steps, progress and errors are recorded."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dbos import DBOS, error

from lens_engine.errors import JobError, LensError
from lens_engine.jobs.inputs import INPUTS_OF, JobKind
from lens_engine.jobs.names import PROGRESS_EVENT
from lens_engine.jobs.queue import DbosJobQueue
from lens_engine.jobs.status import JobState
from lens_engine.store.database import Database
from lens_engine.worker.child_process import JobChild, JobStoppedError
from lens_engine.worker.job import Job, JsonObject
from lens_engine.worker.steps import run

MAX_RECOVERIES = 20
"""Dead workers after which a job counts as their cause."""

STOP_POLL_SECONDS = 0.5


@dataclass(slots=True)
class WorkerState:
    """What the worker's main thread and its running job share.

    Attributes
    ----------
    ending
        Set when the worker is about to end: its job stops and is given back.
    current_job
        Id of the running job.
    """

    executor_id: str
    database: Database
    queue: DbosJobQueue
    ending: threading.Event = field(default_factory=threading.Event)
    current_job: str | None = None


def register_workflows(state: WorkerState) -> None:
    """Make every job kind known to DBOS under its name; before the launch."""
    for kind in JobKind:
        _register(kind, state)


def _register(kind: JobKind, state: WorkerState) -> None:
    def workflow(inputs: JsonObject) -> JsonObject:
        return _run(kind, inputs, state)

    workflow.__name__ = workflow.__qualname__ = f"{kind.value}_workflow"
    DBOS.workflow(name=kind.value, max_recovery_attempts=MAX_RECOVERIES)(workflow)


def _run(kind: JobKind, inputs: JsonObject, state: WorkerState) -> JsonObject:
    job_id = DBOS.workflow_id
    if job_id is None:
        raise JobError("A job was started outside a workflow", "Jobs come from the queue", "Use 'lens' to start one")
    project = state.database.project
    folder = project.jobs_folder / job_id
    durable = _DurableSteps(job_id, state)
    state.current_job = job_id
    try:
        with JobChild(project.folder, folder, durable.must_stop) as child:
            job = Job(job_id, project, state.database, folder, child, durable)
            job.log(f"{kind.value}: worker {state.executor_id} is at it")
            return _logged(job, lambda: run(job, INPUTS_OF[kind].model_validate(inputs)))
    finally:
        state.current_job = None


def _logged(job: Job, work: Callable[[], JsonObject]) -> JsonObject:
    """Do the work; whatever goes wrong is written to the job's log and becomes words for a user."""
    try:
        result = work()
    except LensError as failure:
        job.log(f"failed: {failure}")
        raise
    except Exception as failure:
        job.log_exception()
        raise JobError(
            f"The worker met an unexpected error ({type(failure).__name__})",
            "It should not have happened",
            f"Report it as a defect, with the log of job {job.id}",
        ) from failure
    job.log("done")
    return result


class _DurableSteps:
    """`lens_engine.worker.job.Durable` on DBOS."""

    def __init__(self, job_id: str, state: WorkerState) -> None:
        self._job_id = job_id
        self._state = state
        self._asked_at = 0.0
        self._is_lost = False

    def step(self, name: str, action: Callable[[], JsonObject]) -> JsonObject:
        def guarded() -> JsonObject:
            try:
                return action()
            except JobStoppedError:
                if self._state.ending.is_set():
                    self._stay()
                # Not an Exception: the step is not recorded, and runs again when the job is resumed.
                raise error.DBOSWorkflowCancelledError(f"Job {self._job_id} was stopped") from None

        result: JsonObject = DBOS.run_step({"name": name}, guarded)
        return result

    def publish(self, progress: JsonObject) -> None:
        DBOS.set_event(PROGRESS_EVENT, progress)

    def must_stop(self) -> bool:
        if self._state.ending.is_set():
            return True
        if time.monotonic() - self._asked_at >= STOP_POLL_SECONDS:
            self._asked_at = time.monotonic()
            status = self._state.queue.status(self._job_id)
            self._is_lost = status.state is not JobState.RUNNING or status.worker != self._state.executor_id
        return self._is_lost

    def _stay(self) -> None:
        """Keep this worker's only place until its process ends, so that it does not take the job again."""
        self._state.current_job = None
        threading.Event().wait()
