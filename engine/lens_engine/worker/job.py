"""What the steps of a running job may do: durable steps, progress, a log line, and tasks for the child process."""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dbos import DBOS, PortableWorkflowError, error

from lens_engine.errors import JobError, LensError, NoLocksError
from lens_engine.jobs.log_files import EventLog
from lens_engine.jobs.names import EVENTS_FILE, LOG_FILE, PROGRESS_EVENT
from lens_engine.jobs.queue import DbosJobQueue
from lens_engine.jobs.status import JobState
from lens_engine.store.database import Database
from lens_engine.worker.child_process import JobChild, JobStoppedError
from lens_engine.worker.device import gpu_lock
from lens_engine.worker.messages import DetectSeries, EmbedAnnotations, Task
from lens_engine.worker.metrics import Metrics
from lens_engine.worker.shared_series import SharedSeries

logger = logging.getLogger("lens_engine.worker.job")

JsonObject = dict[str, Any]

_ON_DEVICE = (DetectSeries, EmbedAnnotations)
"""Tasks in which a network computes."""
WAITS_FOR_DEVICE = "Waiting for the GPU, on which another job computes"

PUBLISH_SECONDS = 0.5
PORTION_SECONDS = 0.25
"""Tasks that take less share one durable step: recording one takes up to 50 ms, as much as a very small series."""
PORTION_PUBLISH_SECONDS = 0.1
"""Within such a step progress is published once in so long."""
STOP_POLL_SECONDS = 0.5
WAY_SECONDS = 2.0
"""How long a more urgent job has to wait at least before another one makes way: a free worker is faster."""


@dataclass(slots=True)
class WorkerState:
    """What the worker's main thread and its running job share.

    Attributes
    ----------
    ending
        Set when the worker is about to end: its job stops and is given back.
    current_job
        Id of the running job.
    gpu
        The GPU that its jobs compute on, see `device.gpu_of`; None: they compute on the processor.
    metrics
        What it has counted since it began.
    """

    executor_id: str
    database: Database
    queue: DbosJobQueue
    gpu: str | None = None
    metrics: Metrics = field(default_factory=Metrics)
    ending: threading.Event = field(default_factory=threading.Event)
    current_job: str | None = None


class Meter:
    """Turns finished units into progress with an expected end; units that were found done do not count for speed.

    Attributes
    ----------
    total
        Units of the job.
    done
        Finished units that the job has come to.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self._clock = clock
        self._worked = 0
        self._caught_up = False
        self._seconds = 0.0
        self._unit_started = clock()
        self._ahead = 0
        self._others_per_second = 0.0

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

    def see_others(self, ahead: int, per_second: float) -> None:
        """Count units ahead that the job has not come to and that are done, and the speed of others beside its own."""
        self._ahead = ahead
        self._others_per_second = per_second

    def progress(self, stage: str, partial: float = 0.0) -> JsonObject:
        """Return the fields of `JobProgress`, `partial` of the current unit being finished."""
        worked = self._worked + partial
        seconds = self._seconds + (self._clock() - self._unit_started if partial > 0 else 0.0)
        per_second = self._others_per_second + (worked / seconds if worked > 0.02 and seconds > 0 else 0.0)
        done = self.done + self._ahead
        left = max(0.0, self.total - done - partial)  # a unit in work that is stored already counts twice for a moment
        eta = left / per_second if per_second > 0 else None
        return {"stage": stage, "done": done, "total": self.total, "partial": partial, "eta_seconds": eta}


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
        self._misses_others = False
        self._held = ExitStack()
        self._events = EventLog(self.folder / EVENTS_FILE)
        self._steps = 0
        self._has_device = False
        self._looked_around_at = 0.0
        self._seen_waiting: frozenset[str] = frozenset()

    def step(self, name: str, action: Callable[[], JsonObject]) -> JsonObject:
        """Do `action` once and remember its result: after a crash the job goes on behind it."""

        def until_stopped() -> JsonObject:
            try:
                self.database.project.refuse_if_away()
                return action()
            except JobStoppedError:
                if self._state.ending.is_set():
                    self._stay()
                # Not an Exception: the step is not recorded, and runs again when the job is resumed.
                raise error.DBOSWorkflowCancelledError(f"Job {self.id} was stopped") from None

        try:
            began = time.monotonic()
            result: JsonObject = DBOS.run_step({"name": name}, until_stopped)
            seconds = time.monotonic() - began
            self.note("step", number=self._steps, seconds=round(seconds, 3), skipped=bool(result.get("skipped")))
            self._state.metrics.add("steps_total")
            self._state.metrics.add("step_seconds_total", seconds)
            self._steps += 1
        except PortableWorkflowError as recorded:  # the step has failed before a crash, and is not done again
            raise JobError(str(recorded), "", "") from recorded
        return result

    def task_step(self, name: str, task: Task, meter: Meter) -> JsonObject:
        """Let the child do `task` as one durable step and one unit of `meter`.

        A result may say that it was `skipped`, for it had been done before.
        """

        def action() -> JsonObject:
            self.publish(meter.progress(name), now=True)
            return self._do(name, task, meter)

        self.make_way()
        result = self.step(name, action)
        meter.finish_unit(worked=not result.get("skipped", False))
        return result

    def detect_steps(
        self, tasks: Sequence[tuple[str, DetectSeries]], meter: Meter, shared: SharedSeries
    ) -> list[JsonObject]:
        """Let the child detect in series, each with the name of its step, as `task_step` does; small ones share a step.

        Each of them leaves its finished work alone when it runs again: a crash costs what the last step had done
        one short look each. A result may also say that the series is `taken` by another job: no unit then.
        """
        results: list[JsonObject] = []
        while len(results) < len(tasks):
            self.make_way()
            self._see_others(meter, shared)
            results += self._portion(tasks[len(results) :], meter, shared)
        return results

    def _portion(
        self, tasks: Sequence[tuple[str, DetectSeries]], meter: Meter, shared: SharedSeries
    ) -> list[JsonObject]:
        """Do the first of some tasks, and more of them until `PORTION_SECONDS` are over, as one durable step."""
        counted = False

        def do(number: int) -> JsonObject:
            name, task = tasks[number]
            is_due = time.monotonic() - self._published >= PORTION_PUBLISH_SECONDS
            self.publish(meter.progress(name), now=is_due or number == 0)
            result = self._do(name, task, meter, lambda: self._see_others(meter, shared))
            _count(meter, shared, task, result)
            return result

        def action() -> JsonObject:
            nonlocal counted
            counted = True
            return one_portion(do, len(tasks), time.monotonic)

        recorded = self.step(tasks[0][0], action)
        results = results_of(recorded)
        for (_, task), result in () if counted else zip(tasks, results, strict=False):
            _count(meter, shared, task, {**result, "skipped": True})  # done before this worker came
        return results

    def _do(self, name: str, task: Task, meter: Meter, look: Callable[[], None] = lambda: None) -> JsonObject:
        """Let the child do a task, with a `look` at what else counts before each report of how far it is."""

        def report(done: int, total: int) -> None:
            look()
            self.publish(meter.progress(name, _share(done, total)))

        if isinstance(task, _ON_DEVICE):
            self.take_device()
        meter.start_unit()
        return self._child.run(task, report)

    def _see_others(self, meter: Meter, shared: SharedSeries) -> None:
        """Count what other jobs have done of this job's series; where that cannot be known now, what was known."""
        try:
            shared.look()
            self._misses_others = False
        except LensError as failure:
            if not self._misses_others:
                self.log(f"going on without knowing what other jobs have done: {failure}")
            self._misses_others = True
        meter.see_others(shared.ahead, shared.others_per_second)

    def publish(self, progress: JsonObject, *, now: bool = False) -> None:
        """Let everyone see how far the job is, at most twice a second unless `now`; inside a step only."""
        if now or time.monotonic() - self._published >= PUBLISH_SECONDS:
            self._published = time.monotonic()
            DBOS.set_event(PROGRESS_EVENT, progress)

    def take_device(self) -> None:
        """Wait until no other job computes on this worker's GPU, and keep it until this job ends; inside a step only.

        Where the user's folder is on a disk without locks, jobs go on side by side.

        Raises
        ------
        JobStoppedError
            If the job has to stop meanwhile.
        """
        if self._state.gpu is None or self._has_device:
            return
        lock, is_told = gpu_lock(self._state.gpu), False
        while not self._has_device:
            try:
                self._held.enter_context(lock)
                self._has_device = True
            except NoLocksError as unlocked:
                self.log(f"not kept from other jobs on the GPU: {unlocked}")
                self._has_device = True
            except JobError as taken:
                if not is_told:
                    self.log(f"waiting for the GPU: {taken}")
                is_told = True
                self.publish({"stage": WAITS_FOR_DEVICE, "done": 0, "total": 0})
                if self.must_stop():
                    raise JobStoppedError from taken
                time.sleep(STOP_POLL_SECONDS)

    def must_stop(self) -> bool:
        """Return whether the job was cancelled or given to another worker, or this worker ends."""
        if self._state.ending.is_set():
            return True
        if time.monotonic() - self._asked_at >= STOP_POLL_SECONDS:
            self._asked_at = time.monotonic()
            self._is_lost = self._looks_lost()
        return self._is_lost

    def log(self, line: str) -> None:
        """Add a line to the job's log; where the disk refuses, the worker's own log tells that."""
        try:
            self.folder.mkdir(exist_ok=True)  # none above it: nothing is made in the place of a project that is away
            with (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}\n")
        except OSError as refusal:
            logger.warning("the log of job %s cannot be written (%s): %s", self.id, refusal.strerror, line)

    def note(self, event: str, **values: object) -> None:
        """Add an event for programs beside the job's log: ids and numbers only."""
        self._events.write(event, job=self.id, worker=self._state.executor_id, **values)

    def log_exception(self) -> None:
        """Add the trace of the exception that is being handled to the job's log; never to a message."""
        self.log("unexpected error\n" + traceback.format_exc().rstrip())

    def close(self) -> None:
        """End the child process, so that it never outlives the job, and let go of the device."""
        self._child.close()
        self._held.close()
        self._events.close()
        self._has_device = False

    def make_way(self) -> None:
        """Go back to the queue where a more urgent job waits that no other worker takes; between two steps only."""
        if time.monotonic() - self._looked_around_at < WAY_SECONDS:
            return
        self._looked_around_at = time.monotonic()
        try:
            waiting = self._state.queue.more_urgent(self.id)
            makes_way = bool(waiting & self._seen_waiting)
            if makes_way:
                self.log("making way for a job that somebody waits for")
                self._state.queue.give_back(self.id, self._state.executor_id)
        except LensError as failure:
            self.log(f"going on without knowing whether a more urgent job waits: {failure}")
            return
        if makes_way:
            raise error.DBOSWorkflowCancelledError(f"Job {self.id} made way")
        self._seen_waiting = waiting

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


def one_portion(do: Callable[[int], JsonObject], most: int, clock: Callable[[], float]) -> JsonObject:
    """Do tasks by their numbers, at least one, until all are done or `PORTION_SECONDS` are over."""
    began, results = clock(), [do(0)]
    while len(results) < most and clock() - began < PORTION_SECONDS:
        results.append(do(len(results)))
    return {"portion": results, "skipped": all(bool(result.get("skipped")) for result in results)}


def results_of(recorded: JsonObject) -> list[JsonObject]:
    """Return the results that a durable step holds; an older worker recorded each task by itself."""
    results: list[JsonObject] = recorded.get("portion", [recorded])
    return results


def _count(meter: Meter, shared: SharedSeries, task: DetectSeries, result: JsonObject) -> None:
    if not result.get("taken", False):
        worked = not result.get("skipped", False)
        meter.finish_unit(worked)
        shared.come_to(task.series_id, detected=worked)
        meter.see_others(shared.ahead, shared.others_per_second)


def _share(done: int, total: int) -> float:
    return min(done / total, 1.0) if total else 0.0
