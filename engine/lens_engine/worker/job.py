"""What the steps of a running job may do: durable steps, progress, a log line, and tasks for the child process."""

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dbos import DBOS, PortableWorkflowError, error

from lens_engine.errors import JobError, LensError
from lens_engine.jobs.names import LOG_FILE, PROGRESS_EVENT
from lens_engine.jobs.queue import DbosJobQueue
from lens_engine.jobs.status import JobState
from lens_engine.store.database import Database
from lens_engine.worker.child_process import JobChild, JobStoppedError
from lens_engine.worker.messages import Task

JsonObject = dict[str, Any]

PUBLISH_SECONDS = 0.5
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


class Meter:
    """Turns finished units into progress with an expected end; units that were found done do not count for speed.

    Attributes
    ----------
    total
        Units of the job.
    done
        Finished units.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self._clock = clock
        self._worked = 0
        self._caught_up = False
        self._seconds = 0.0
        self._unit_started = clock()

    def start_unit(self) -> None:
        """Begin to measure a unit."""
        self._unit_started = self._clock()

    def finish_unit(self, worked: bool) -> None:
        """Count a unit; `worked` is False for one that had been done before."""
        self.done += 1
        if worked:
            self._worked += 1
            self._seconds += self._clock() - self._unit_started

    def catch_up(self, done: int) -> None:
        """Count the units up to `done`; those that the first call finds done were done before."""
        if done > self.done:
            if self._worked or self._caught_up:
                self._worked += done - self.done
                self._seconds += self._clock() - self._unit_started
            self._unit_started = self._clock()
            self.done = done
        self._caught_up = True

    def progress(self, stage: str, partial: float = 0.0) -> JsonObject:
        """Return the fields of `JobProgress`, `partial` of the current unit being finished."""
        worked = self._worked + partial
        seconds = self._seconds + (self._clock() - self._unit_started if partial > 0 else 0.0)
        left = self.total - self.done - partial
        eta = seconds / worked * left if worked > 0.02 else None
        return {"stage": stage, "done": self.done, "total": self.total, "partial": partial, "eta_seconds": eta}


class Job:
    """One running job, inside its workflow.

    Attributes
    ----------
    database
        The project's catalog, labels and models.
    folder
        Holds the job's log and its unfinished results.
    """

    def __init__(self, job_id: str, state: WorkerState) -> None:
        project = state.database.project
        self.id = job_id
        self.database = state.database
        self.folder = project.jobs_folder / job_id
        self._state = state
        self._child = JobChild(project.folder, self.folder, self.must_stop)
        self._published = 0.0
        self._asked_at = 0.0
        self._is_lost = False
        self._is_blind = False

    def step(self, name: str, action: Callable[[], JsonObject]) -> JsonObject:
        """Do `action` once and remember its result: after a crash the job goes on behind it."""

        def until_stopped() -> JsonObject:
            try:
                return action()
            except JobStoppedError:
                if self._state.ending.is_set():
                    self._stay()
                # Not an Exception: the step is not recorded, and runs again when the job is resumed.
                raise error.DBOSWorkflowCancelledError(f"Job {self.id} was stopped") from None

        try:
            result: JsonObject = DBOS.run_step({"name": name}, until_stopped)
        except PortableWorkflowError as recorded:  # the step has failed before a crash, and is not done again
            raise JobError(str(recorded), "", "") from recorded
        return result

    def task_step(self, name: str, task: Task, meter: Meter) -> JsonObject:
        """Let the child do `task` as one durable step and one unit of `meter`; a result may say it was `skipped`."""

        def action() -> JsonObject:
            meter.start_unit()
            self.publish(meter.progress(name), now=True)
            return self._child.run(task, lambda done, total: self.publish(meter.progress(name, _share(done, total))))

        result = self.step(name, action)
        meter.finish_unit(worked=not result.get("skipped", False))
        return result

    def publish(self, progress: JsonObject, *, now: bool = False) -> None:
        """Let everyone see how far the job is, at most twice a second unless `now`; inside a step only."""
        if now or time.monotonic() - self._published >= PUBLISH_SECONDS:
            self._published = time.monotonic()
            DBOS.set_event(PROGRESS_EVENT, progress)

    def must_stop(self) -> bool:
        """Return whether the job was cancelled or given to another worker, or this worker ends."""
        if self._state.ending.is_set():
            return True
        if time.monotonic() - self._asked_at >= STOP_POLL_SECONDS:
            self._asked_at = time.monotonic()
            self._is_lost = self._looks_lost()
        return self._is_lost

    def log(self, line: str) -> None:
        """Add a line to the job's log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}\n")

    def log_exception(self) -> None:
        """Add the trace of the exception that is being handled to the job's log; never to a message."""
        self.log("unexpected error\n" + traceback.format_exc().rstrip())

    def close(self) -> None:
        """End the child process, so that it never outlives the job."""
        self._child.close()

    def _looks_lost(self) -> bool:
        """Return whether the job is no longer this worker's; where that cannot be known now, it still is."""
        try:
            status = self._state.queue.status(self.id)
        except LensError as failure:
            if not self._is_blind:
                self.log(f"going on without knowing whether the job was cancelled: {failure}")
            self._is_blind = True
            return False
        self._is_blind = False
        return status.state is not JobState.RUNNING or status.worker != self._state.executor_id

    def _stay(self) -> None:
        """Keep this worker's only place until its process ends, so that it does not take the job again."""
        self._state.current_job = None
        threading.Event().wait()


def _share(done: int, total: int) -> float:
    return min(done / total, 1.0) if total else 0.0
