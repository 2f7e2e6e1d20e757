"""The queue as everyone but a worker sees it: submit, follow, cancel and resume jobs of a project.

Talks to the jobs database only; needs no worker to be alive and never imports torch.
"""

import logging
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, WorkflowStatus, WorkflowStatusString

from lens_engine.database_url import within_reach
from lens_engine.errors import JobError
from lens_engine.jobs.inputs import INPUTS_OF, JobInputs, JobKind
from lens_engine.jobs.names import (
    APPLICATION_NAME,
    APPLICATION_VERSION,
    LOG_FILE,
    PROGRESS_EVENT,
    QUEUE_NAME,
    TRAINING_FOLDER,
)
from lens_engine.jobs.ownership import refuse_jobs_of_others
from lens_engine.jobs.status import JobProgress, JobState, JobStatus, Urgency
from lens_engine.project import Project

STATE_OF = {
    WorkflowStatusString.DELAYED: JobState.QUEUED,
    WorkflowStatusString.ENQUEUED: JobState.QUEUED,
    WorkflowStatusString.PENDING: JobState.RUNNING,
    WorkflowStatusString.SUCCESS: JobState.DONE,
    WorkflowStatusString.ERROR: JobState.FAILED,
    WorkflowStatusString.MAX_RECOVERY_ATTEMPTS_EXCEEDED: JobState.FAILED,
    WorkflowStatusString.CANCELLED: JobState.CANCELLED,
}

JOBS_SCHEMA = "dbos"
"""Schema of the job engine's tables in a PostgreSQL database."""


@contextmanager
def _in_words() -> Iterator[None]:
    """Say in words that the database does not answer."""
    try:
        yield
    except sqlalchemy.exc.SQLAlchemyError as error:
        if "permission denied" in str(error):
            raise JobError(
                "The jobs database does not let this user do that",
                "An administrator of the project asks for jobs, cancels and resumes them",
                "Ask who made the project for the role: lens grant administrator USER",
            ) from error
        raise JobError(
            "The jobs database of the project does not answer",
            "It must be reachable for jobs to be asked for and followed",
            "Wait a moment; if it lasts, check its disk or server",
        ) from error


class DbosJobQueue:
    """`lens_engine.jobs.status.JobQueue` on DBOS: each job is a durable workflow in the project's jobs database.

    Every question raises `JobError` while the database does not answer.
    """

    def __init__(self, project: Project) -> None:
        self._jobs_folder = project.jobs_folder
        self._ended: dict[str, JobProgress] = {}  # of jobs that can never change, so that they are read once
        create_tables(project.jobs_database_url)
        with _in_words():
            refuse_jobs_of_others(project)
        self._client = DBOSClient(
            system_database_url=within_reach(project.jobs_database_url),
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION_NAME,
            retry_connection_errors=False,  # it would wait for the database without end
        )

    @_in_words()
    def submit(self, inputs: JobInputs, urgency: Urgency = Urgency.BULK) -> str:
        """Queue a job and return its id."""
        return self._enqueue(_new_id(inputs.kind), inputs, urgency)

    @_in_words()
    def status(self, job_id: str) -> JobStatus:
        """Return how a job stands. Raises `JobError` when there is no such job."""
        return self._to_status(self._workflow(job_id))

    @_in_words()
    def jobs(self, limit: int = 50) -> tuple[JobStatus, ...]:
        """Return the latest jobs, newest first."""
        kinds = [kind.value for kind in JobKind]
        return tuple(
            self._to_status(workflow)
            for workflow in self._client.list_workflows(name=kinds, limit=limit, sort_desc=True, load_input=False)
        )

    @_in_words()
    def last_done(self, kind: JobKind) -> JobStatus | None:
        """Return the latest job of a kind that is done, None before the first."""
        done = [state.value for state, ours in STATE_OF.items() if ours is JobState.DONE]
        found = self._client.list_workflows(name=[kind.value], status=done, limit=1, sort_desc=True, load_input=False)
        return self._to_status(found[0]) if found else None

    @_in_words()
    def workers_of_running_jobs(self) -> Mapping[str, str]:
        """Return the worker that is said to do each running job, by the job's id."""
        running = [state.value for state, ours in STATE_OF.items() if ours is JobState.RUNNING]
        return {found.workflow_id: found.executor_id for found in self._workflows(running) if found.executor_id}

    @_in_words()
    def open_job_counts(self) -> Mapping[JobState, int]:
        """Return how many jobs are queued and how many are running."""
        return Counter(STATE_OF[WorkflowStatusString(workflow.status)] for workflow in self._open_workflows(None))

    @_in_words()
    def has_open_jobs(self) -> bool:
        """Return whether anything is queued or running, on any worker."""
        return bool(self._open_workflows(1))

    @_in_words()
    def more_urgent(self, job_id: str) -> frozenset[str]:
        """Return the ids of jobs that wait and are more urgent than this one."""
        own = self._workflow(job_id).priority or 0
        waiting = self._client.list_workflows(
            status=WorkflowStatusString.ENQUEUED.value, queue_name=QUEUE_NAME, load_input=False, load_output=False
        )
        return frozenset(workflow.workflow_id for workflow in waiting if (workflow.priority or 0) < own)

    @_in_words()
    def give_back(self, job_id: str, executor_id: str) -> None:
        """Queue a running job again behind its last finished step, if it is still that worker's.

        For a worker that ends or died. Unlike a cancel followed by a resume, nobody sees the job end in between.
        """
        status = self.status(job_id)
        if status.state is JobState.RUNNING and status.worker == executor_id:
            self._client.resume_workflow(job_id, queue_name=QUEUE_NAME)

    @_in_words()
    def cancel(self, job_id: str) -> None:
        """Ask a job to end; its worker ends the job's process within seconds. A job that has ended stays as it is."""
        self._workflow(job_id)
        self._client.cancel_workflow(job_id)

    @_in_words()
    def resume(self, job_id: str) -> str:
        """Let a cancelled or failed job go on, and return the id to follow; see `JobQueue.resume`."""
        workflow = self._workflow(job_id)
        state = STATE_OF[WorkflowStatusString(workflow.status)]
        if state is JobState.CANCELLED:
            self._client.resume_workflow(job_id, queue_name=QUEUE_NAME)
            return job_id
        if state is JobState.FAILED and workflow.input is not None:
            inputs = INPUTS_OF[JobKind(workflow.name)].model_validate(workflow.input["args"][0])
            return self._again(job_id, inputs, Urgency(workflow.priority or Urgency.BULK))
        raise JobError(
            f"The {workflow.name} job {job_id} is {state}",
            "Only a job that was cancelled or interrupted, or that failed, can be resumed",
            "Wait for it, or ask for a new one",
        )

    def log_file(self, job_id: str) -> Path:
        """Return where the job's log is, or will be."""
        return self._jobs_folder / job_id / LOG_FILE

    def close(self) -> None:
        """Let go of the database."""
        self._client.destroy()

    def _again(self, failed_id: str, inputs: JobInputs, urgency: Urgency) -> str:
        """Queue a job in place of a failed one; a training takes its last checkpoint along."""
        job_id = _new_id(inputs.kind)
        unfinished = self._jobs_folder / failed_id / TRAINING_FOLDER
        if unfinished.is_dir():
            shutil.copytree(unfinished, self._jobs_folder / job_id / TRAINING_FOLDER)
        return self._enqueue(job_id, inputs, urgency)

    def _enqueue(self, job_id: str, inputs: JobInputs, urgency: Urgency) -> str:
        self._client.enqueue(
            {
                "queue_name": QUEUE_NAME,
                "workflow_name": inputs.kind.value,
                "workflow_id": job_id,
                "app_version": APPLICATION_VERSION,
                "priority": int(urgency),
            },
            inputs.model_dump(mode="json"),
        )
        return job_id

    def _open_workflows(self, limit: int | None) -> list[WorkflowStatus]:
        return self._workflows([state.value for state, ours in STATE_OF.items() if not ours.is_final], limit)

    def _workflows(self, states: list[str], limit: int | None = None) -> list[WorkflowStatus]:
        kinds = [kind.value for kind in JobKind]
        return self._client.list_workflows(status=states, name=kinds, limit=limit, load_input=False, load_output=False)

    def _workflow(self, job_id: str) -> WorkflowStatus:
        found = self._client.list_workflows(workflow_ids=[job_id])
        if not found:
            raise JobError(
                f"There is no job {job_id!r}", "The id of a job of this project is needed", "See 'lens jobs'"
            )
        return found[0]

    def _to_status(self, workflow: WorkflowStatus) -> JobStatus:
        state = STATE_OF[WorkflowStatusString(workflow.status)]
        output = workflow.output if state is JobState.DONE else None
        return JobStatus(
            id=workflow.workflow_id,
            kind=JobKind(workflow.name),
            state=state,
            progress=self._progress(workflow.workflow_id, state),
            worker=None if state is JobState.QUEUED else workflow.executor_id,
            created_at=_moment(workflow.created_at) or datetime.now(UTC),
            started_at=None if state is JobState.QUEUED else _moment(workflow.dequeued_at),
            finished_at=_moment(workflow.completed_at) if state.is_final else None,
            error=_message(workflow) if state is JobState.FAILED else None,
            result=output if isinstance(output, dict) else {},
        )

    def _progress(self, job_id: str, state: JobState) -> JobProgress:
        if job_id in self._ended:
            return self._ended[job_id]
        event = self._client.get_event(job_id, PROGRESS_EVENT, timeout_seconds=0)
        progress = JobProgress(**event) if isinstance(event, dict) else JobProgress()
        if state.is_final:
            progress = replace(progress, partial=0.0, eta_seconds=None)
        if state is JobState.DONE:
            progress = replace(progress, stage="Done", done=progress.total)
        if state in (JobState.DONE, JobState.FAILED):
            self._ended[job_id] = progress
        return progress


def open_queue(project: Project) -> DbosJobQueue:
    """Return the job queue of a project; its tables are created when no worker has ever run."""
    return DbosJobQueue(project)


def create_tables(jobs_database_url: str) -> None:
    """Create the tables of the job engine where there are none.

    Raises `JobError` when the database is damaged or cannot be reached.
    """
    logging.getLogger("dbos").setLevel(logging.ERROR)
    try:
        engine = sqlalchemy.create_engine(within_reach(jobs_database_url))
        try:
            is_sqlite = engine.dialect.name == "sqlite"
            if is_sqlite:
                _use_write_ahead_log(engine)
            exists = sqlalchemy.inspect(engine).has_table("workflow_status", schema=None if is_sqlite else JOBS_SCHEMA)
        finally:
            engine.dispose()
        if not exists:
            DBOS.migrate(within_reach(jobs_database_url))
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise _cannot_open(jobs_database_url, " ".join(str(getattr(error, "orig", error)).split())) from error


def _cannot_open(jobs_database_url: str, message: str) -> JobError:
    if "not a database" in message or "malformed" in message:
        file = sqlalchemy.make_url(jobs_database_url).database
        return JobError(
            f"The jobs database of the project, {file}, is damaged ({message})",
            "An intact SQLite file",
            "End the workers and delete it: the next job makes a new one. What jobs have stored is not in it",
        )
    if "permission denied for" in message:
        return JobError(
            f"The jobs database does not let this user make its tables ({message})",
            "The owner of the database makes them, with the project",
            "Give the database to the user who shall own the project: createdb -O USER NAME",
        )
    return JobError(
        f"The jobs database of the project cannot be opened ({message})",
        "It must be readable and writable",
        "Check the disk, the rights of the project folder, and 'jobs_database_url' in its settings",
    )


def _use_write_ahead_log(engine: sqlalchemy.Engine) -> None:
    """Let readers and the one writer work side by side; the file remembers it."""
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("PRAGMA journal_mode=WAL"))


def _new_id(kind: JobKind) -> str:
    """Return an id that sorts by time and says what it is: it names the job's folder."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{kind.value}-{uuid.uuid4().hex[:6]}"


def _moment(epoch_milliseconds: int | None) -> datetime | None:
    return None if epoch_milliseconds is None else datetime.fromtimestamp(epoch_milliseconds / 1000, UTC)


def _message(workflow: WorkflowStatus) -> str:
    if workflow.status == WorkflowStatusString.MAX_RECOVERY_ATTEMPTS_EXCEEDED.value:
        return (
            "The worker itself ended again and again while it did this job, and nobody saw why. Likely causes: the "
            "computer was shut down, somebody or a batch system ended the worker, or memory ran out. See the job's log."
        )
    return str(workflow.error) if workflow.error else "The job failed without a message. See the job's log."
