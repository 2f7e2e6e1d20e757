"""The job kinds as DBOS workflows, and what becomes of their errors."""

from dbos import DBOS

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
    """Do one job; whatever goes wrong is written to its log and becomes words for a user."""
    job_id = DBOS.workflow_id
    if job_id is None:
        raise JobError("A job was started outside a workflow", "Jobs come from the queue", "Use 'lens' to start one")
    job = Job(job_id, state)
    state.current_job = job_id
    try:
        job.log(f"{kind.value}: worker {state.executor_id} is at it")
        result = run(job, INPUTS_OF[kind].model_validate(inputs))
        job.log("done")
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
    finally:
        job.close()
        state.current_job = None
    return result
