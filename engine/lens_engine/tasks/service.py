"""The child's side of the talk with its worker: lines of JSON (`lens_engine.worker.messages`), one task at a time."""

import logging
import queue
import sys
import threading
import time
from typing import TextIO

from lens_engine.errors import LensError
from lens_engine.tasks.device_errors import in_words
from lens_engine.tasks.workbench import Workbench
from lens_engine.worker.end_with_parent import die
from lens_engine.worker.messages import REQUEST, Cancel, Event, Failed, Finished, Progressed, Task

REPORT_SECONDS = 0.2

logger = logging.getLogger("lens_engine.tasks.service")


class TaskCancelledError(Exception):
    """Raised inside a task at its next report after a cancel."""


class Line:
    """The two directions of the talk with the worker; reports of progress are thinned out.

    Attributes
    ----------
    tasks
        What the worker has asked for and nobody has begun.
    """

    def __init__(self, output: TextIO) -> None:
        self.tasks: queue.Queue[Task] = queue.Queue()
        self._output = output
        self._cancelled = threading.Event()
        self._last_report = 0.0
        threading.Thread(target=self._listen, name="requests", daemon=True).start()

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
                self.tasks.put(request)
        die()


def serve(line: Line, workbench: Workbench) -> None:
    """Do tasks until cancelled; a task that fails for a reason a user can understand does not end the process."""
    while True:
        task = line.tasks.get()
        try:
            line.tell(Finished(result=workbench.run(task, line.report)))
        except TaskCancelledError:
            logger.info("cancelled")
            return
        except LensError as error:
            logger.info("failed: %s", error)
            line.tell(Failed.of(error))
        except MemoryError:
            logger.exception("out of memory")
            line.tell(_OUT_OF_MEMORY)
        except RuntimeError as error:
            words = in_words(error)
            if words is None:
                raise
            logger.exception("the device failed")
            line.tell(words)
            return  # nothing works any more on a device that failed


_OUT_OF_MEMORY = Failed(
    happened="There is not enough memory for this task",
    expected="It should fit into this computer's memory",
    remedy="Close other programs or use a computer with more memory, and start the job again",
)
