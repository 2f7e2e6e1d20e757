"""What a job's steps may do: durable steps, progress, a log line, and the child process; nothing else of the engine."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from lens_engine.jobs.names import LOG_FILE
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.worker.child_process import JobChild
from lens_engine.worker.messages import Task

JsonObject = dict[str, Any]

PUBLISH_SECONDS = 0.5


class Durable(Protocol):
    """The part of the job engine that a job needs."""

    def step(self, name: str, action: Callable[[], JsonObject]) -> JsonObject:
        """Do `action` once and remember its result: after a crash the job goes on behind it."""
        ...

    def publish(self, progress: JsonObject) -> None:
        """Let everyone see how far the job is; inside a step only."""
        ...

    def must_stop(self) -> bool:
        """Whether the job was cancelled or given to another worker, or this worker ends."""
        ...


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


@dataclass(slots=True)
class Job:
    """One running job.

    Attributes
    ----------
    folder
        Of this job, for its log and unfinished results.
    """

    id: str
    project: Project
    database: Database
    folder: Path
    child: JobChild
    durable: Durable
    _published: float = field(default=0.0, init=False)

    def step(self, name: str, action: Callable[[], JsonObject]) -> JsonObject:
        """Do `action` as a durable step and return its result."""
        return self.durable.step(name, action)

    def task_step(self, name: str, task: Task, meter: Meter) -> JsonObject:
        """Let the child do `task` as one durable step and one unit of `meter`; a result may say it was `skipped`."""

        def action() -> JsonObject:
            meter.start_unit()
            self.publish(meter.progress(name), now=True)
            return self.child.run(task, lambda done, total: self.publish(meter.progress(name, _share(done, total))))

        result = self.step(name, action)
        meter.finish_unit(worked=not result.get("skipped", False))
        return result

    def publish(self, progress: JsonObject, *, now: bool = False) -> None:
        """Show progress, at most twice a second unless `now`."""
        if now or time.monotonic() - self._published >= PUBLISH_SECONDS:
            self._published = time.monotonic()
            self.durable.publish(progress)

    def log(self, line: str) -> None:
        """Add a line to the job's log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}\n")

    def log_exception(self) -> None:
        """Add the trace of the exception that is being handled to the job's log; never to a message."""
        self.log("unexpected error\n" + traceback.format_exc().rstrip())


def _share(done: int, total: int) -> float:
    return min(done / total, 1.0) if total else 0.0
