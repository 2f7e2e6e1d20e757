"""A process of one job: its own process group, its errors in the job's log, ended gently or not, explained in words."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lens_engine.errors import JobError
from lens_engine.jobs.environment import process_environment
from lens_engine.jobs.log_files import make_room
from lens_engine.worker.memory_watch import MemoryStory, MemoryWatch

ASK_SECONDS = 2.0
TERMINATE_SECONDS = 3.0
SHELL_SIGNALS = 128
"""Exit codes above it are how a shell reports the signal that ended a program."""
TO_ITS_END = "It should have run to its end"
MEANINGS = {
    "SIGSEGV": "it reached for memory that it does not have, a fault of a program or a driver",
    "SIGBUS": "a file or memory it worked with was gone, as on a full disk",
    "SIGILL": "it met an instruction that this processor does not have",
    "SIGABRT": "it gave up by itself",
    "SIGFPE": "it met an impossible calculation",
}
"""What signals mean that a crash sends."""


class SupervisedProcess:
    """A running child whose standard input we hold: it ends by itself when we die.

    Parameters
    ----------
    command
        Program and arguments.
    log_file
        File that takes the standard error, behind what is there.
    """

    def __init__(self, command: Sequence[str], log_file: Path) -> None:
        log_file.parent.mkdir(exist_ok=True)
        make_room(log_file)
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=process_environment(),
                start_new_session=True,
                text=True,
                encoding="utf-8",
            )
        self._memory = MemoryWatch()
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read_lines, name=f"reader-{self._process.pid}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code, negative for a signal; None while it runs or has unread lines."""
        if self._reader.is_alive() or not self._lines.empty():
            return None
        return self._process.wait()

    @property
    def memory(self) -> MemoryStory:
        """What was seen of this computer's memory while it ran and somebody waited for its lines."""
        return self._memory.story()

    def send(self, line: str) -> None:
        """Write one line to its standard input; nothing happens when it has just ended."""
        if self._process.stdin is None or self._process.poll() is not None:
            return
        with suppress(BrokenPipeError):  # it has just ended; `exit_code` tells why
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def next_line(self, timeout_seconds: float) -> str | None:
        """Return its next line of output, or None when none comes in time or it has ended."""
        self._memory.look()
        try:
            return self._lines.get(timeout=timeout_seconds if self._reader.is_alive() else 0.01)
        except queue.Empty:
            return None

    def wait(self, timeout_seconds: float) -> None:
        """Give it that long to end by itself."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_seconds)

    def terminate(self, patience_seconds: float = TERMINATE_SECONDS) -> None:
        """Ask it to end by signal, and kill its group when it has not after `patience_seconds`."""
        if self._process.poll() is None:
            self._process.terminate()
        self.kill_after(patience_seconds)

    def kill_after(self, patience_seconds: float) -> None:
        """Wait for its end, then kill whatever is left of its group."""
        self.wait(patience_seconds)
        kill_group(self._process.pid)
        self._process.kill()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        self._reader.join(ASK_SECONDS)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # a line it never read does not matter any more
                    stream.close()

    def _read_lines(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                self._lines.put(line)


def kill_group(group: int) -> None:
    """Kill every process of a group that is still there."""
    if sys.platform == "win32":
        return
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def unexpected_end(exit_code: int, memory: MemoryStory) -> JobError:
    """Return the error for a process that ended without an answer, in words for a user.

    Parameters
    ----------
    exit_code
        Negative for a signal, as are those above 128 that a shell reports.
    memory
        What was seen while it ran: the lack of it is named only where that says so.
    """
    number = -exit_code if exit_code < 0 else exit_code - SHELL_SIGNALS
    try:
        name = signal.Signals(number).name
    except ValueError:  # no signal: a code that the program chose
        return JobError(
            f"The job's process ended by itself with exit code {exit_code} and without an answer",
            TO_ITS_END,
            "Its log says what it did last; then let the job go on: what is done stays",
        )
    if name == "SIGKILL":
        return _killed(memory)
    if name == "SIGTERM":
        return JobError(
            "The job's process was told to end from outside (signal SIGTERM)",
            TO_ITS_END,
            "A person, a batch system or a computer that shuts down does that. Let the job go on: what is done stays",
        )
    meaning = MEANINGS.get(name, "it was stopped by the system")
    return JobError(
        f"The job's process crashed: {meaning} (signal {name})",
        TO_ITS_END,
        "Let the job go on: what is done stays. If it crashes again, report it as a defect with the job's log",
    )


def _killed(memory: MemoryStory) -> JobError:
    if memory.ran_out:
        said = "the system says so" if memory.kernel_killed else f"{_gb(memory.least_available)} GB were left"
        return JobError(
            f"The job's process was killed (signal SIGKILL) because memory ran out: {said}",
            TO_ITS_END,
            "Close other programs, or use a computer with more memory, and let the job go on: what is done stays",
        )
    return JobError(
        "The job's process was killed from outside (signal SIGKILL), and nobody cancelled the job",
        f"{TO_ITS_END}; at least {_gb(memory.least_available)} of {_gb(memory.total)} GB of memory were left",
        "Likely causes: a person or a program ended it, a batch system's limit of time or memory was reached, or the "
        "computer was shut down. Let the job go on: what is done stays",
    )


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f}"
