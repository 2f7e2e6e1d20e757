"""The worker's side of a child process: started at the first task, asked one task at a time, ended with the job."""

import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from lens_engine.errors import JobError
from lens_engine.jobs.names import LOG_FILE
from lens_engine.worker.messages import EVENT, Cancel, Event, Failed, Progressed, Task
from lens_engine.worker.process import ASK_SECONDS, SupervisedProcess, unexpected_end

POLL_SECONDS = 0.25


class JobStoppedError(Exception):
    """The job was cancelled, or its worker is about to end, while it was waiting for its process."""


class JobChild:
    """One child process for all tasks of one job; none is started where every step is done already.

    Parameters
    ----------
    must_stop
        Asked a few times a second while a task runs.
    """

    def __init__(self, project_folder: Path, job_folder: Path, must_stop: Callable[[], bool]) -> None:
        self._command = [
            *(sys.executable, "-m", "lens_engine.tasks"),
            *("--project", str(project_folder), "--job", job_folder.name),
        ]
        self._log_file = job_folder / LOG_FILE
        self._must_stop = must_stop
        self._process: SupervisedProcess | None = None

    def run(self, task: Task, on_progress: Callable[[int, int], None]) -> dict[str, object]:
        """Let the child do one task and return its result.

        Raises
        ------
        JobError
            If the task failed, or the process ended without an answer.
        JobStoppedError
            If the job has to stop; the process is gone then.
        """
        if self._process is None:
            self._process = SupervisedProcess(self._command, self._log_file)
        process = self._process
        process.send(task.model_dump_json())
        while True:
            if self._must_stop():
                self._stop(process)
                raise JobStoppedError
            text = process.next_line(POLL_SECONDS)
            if text is None:
                exit_code = process.exit_code
                if exit_code is not None:
                    self.close()
                    raise unexpected_end(exit_code, process.memory)
                continue
            event = _parse(text)
            if isinstance(event, Progressed):
                on_progress(event.done, event.total)
            elif isinstance(event, Failed):
                raise JobError(event.happened, event.expected, event.remedy)
            else:
                return event.result

    def close(self) -> None:
        """End the process, at once: it holds nothing that is not stored."""
        if self._process is not None:
            self._process.kill_after(0.0)
            self._process = None

    def _stop(self, process: SupervisedProcess) -> None:
        """Ask, then terminate, then kill."""
        process.send(Cancel().model_dump_json())
        process.wait(ASK_SECONDS)
        process.terminate()
        self._process = None


def _parse(text: str) -> Event:
    try:
        return EVENT.validate_json(text)
    except ValidationError as error:
        raise JobError(
            f"The job's process said something that is no event: {text[:80]!r}",
            "One event per line",
            "Report this as a defect",
        ) from error
