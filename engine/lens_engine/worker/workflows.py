"""The job kinds as DBOS workflows, and what becomes of their errors."""

import os

from dbos import DBOS, error
from sqlalchemy.exc import InterfaceError, OperationalError

from lens_engine.errors import JobError, LensError
from lens_engine.jobs.inputs import INPUTS_OF, JobKind
from lens_engine.worker.job import Job, JsonObject, WorkerState
from lens_engine.worker.steps import run

MAX_RECOVERIES = 20
"""Dead workers after which a job counts as their cause."""


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
    """Do one job; whatever goes wrong is written to its log and becomes words for a user.

    Where the jobs database went away the job stays as it is recorded, and its worker finds that it stands still.
    """
    job_id = DBOS.workflow_id
    if job_id is None:
        raise JobError("A job was started outside a workflow", "Jobs come from the queue", "Use 'lens' to start one")
    job = Job(job_id, state)
    state.current_job = job_id
    outcome = "stopped"
    try:
        job.log(f"{kind.value}: worker {state.executor_id} is at it")
        job.note("begun", kind=kind.value, pid=os.getpid())
        result = run(job, INPUTS_OF[kind].model_validate(inputs))
        job.log("done")
        outcome = "done"
    except LensError as failure:
        job.log(f"failed: {failure}")
        outcome = "failed"
        raise
    except (OperationalError, InterfaceError) as failure:
        job.log(f"the jobs database does not answer; the job goes on at this step once it does: {failure.orig}")
        raise error.DBOSWorkflowCancelledError(f"Job {job.id} could not be recorded") from failure
    except Exception as failure:
        job.log_exception()
        outcome = "failed"
        raise JobError(
            f"The worker met an unexpected error ({type(failure).__name__})",
            "It should not have happened",
            f"Report it as a defect, with the log of job {job.id}",
        ) from failure
    finally:
        job.note("ended", kind=kind.value, outcome=outcome)
        state.metrics.add("jobs_total", kind=kind.value, outcome=outcome)
        job.close()
        state.current_job = None
    return result
