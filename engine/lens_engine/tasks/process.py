"""The process that does the heavy part of one job: `python -m lens_engine.tasks.process --project DIR --job ID`.

It loads a model once and serves one task after the other, told by lines of JSON (`lens_engine.worker.messages`). Its
standard error is the job's log. It ends at once when its standard input closes.
"""

import argparse
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from lens_engine.errors import LensError
from lens_engine.project import Project
from lens_engine.tasks.workbench import Workbench
from lens_engine.worker.end_with_parent import die
from lens_engine.worker.file_lock import FileLock
from lens_engine.worker.messages import REQUEST, Cancel, Event, Failed, Finished, Progressed, Task

REPORT_SECONDS = 0.2
LOCK_SECONDS = 30.0
"""How long a new child waits for the one of a killed worker to be gone."""

logger = logging.getLogger("lens_engine.tasks.process")


class TaskCancelledError(Exception):
    """Raised inside a task at its next report after a cancel."""


class Line:
    """The two directions of the talk with the worker; reports of progress are thinned out."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._tasks: queue.Queue[Task] = queue.Queue()
        self._cancelled = threading.Event()
        self._last_report = 0.0
        threading.Thread(target=self._listen, name="requests", daemon=True).start()

    def next_task(self) -> Task:
        """Wait for the next task."""
        return self._tasks.get()

    def tell(self, event: Event) -> None:
        """Send an event to the worker."""
        self._output.write(event.model_dump_json() + "\n")
        self._output.flush()

    def report(self, done: int, total: int) -> None:
        """Report progress of the running task. Raises `TaskCancelledError` once the worker has asked to stop."""
        if self._cancelled.is_set():
            raise TaskCancelledError
        now = time.monotonic()
        if now - self._last_report >= REPORT_SECONDS:
            self._last_report = now
            self.tell(Progressed(done=done, total=total))

    def _listen(self) -> None:
        for text in sys.stdin:
            request = REQUEST.validate_json(text)
            if isinstance(request, Cancel):
                self._cancelled.set()
            else:
                self._tasks.put(request)
        die()


def serve(line: Line, run: Callable[[Task, Callable[[int, int], None]], dict[str, object]]) -> None:
    """Do tasks until cancelled; a task that fails for a reason a user can understand does not end the process."""
    while True:
        task = line.next_task()
        try:
            line.tell(Finished(result=run(task, line.report)))
        except TaskCancelledError:
            logger.info("cancelled")
            return
        except LensError as error:
            logger.info("failed: %s", error)
            line.tell(Failed(happened=error.happened, expected=error.expected, remedy=error.remedy))
        except MemoryError:
            logger.exception("out of memory")
            line.tell(_out_of_memory())


def main() -> int:
    """Serve one job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--job", required=True)
    arguments = parser.parse_args()
    output = _own_standard_output()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    line = Line(output)
    project = Project.open(arguments.project)
    folder = project.jobs_folder / arguments.job
    with FileLock(folder / "child.lock", f"work on job {arguments.job}", LOCK_SECONDS):
        serve(line, Workbench(project, folder).run)
    return 0


def _own_standard_output() -> TextIO:
    """Return the standard output for events, and send whatever else is printed to the log."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return output


def _out_of_memory() -> Failed:
    return Failed(
        happened="There is not enough memory for this task",
        expected="It should fit into this computer's memory",
        remedy="Close other programs or use a computer with more memory, and start the job again",
    )


if __name__ == "__main__":
    sys.exit(main())
