"""The processes that a storm kills, and how each is started again."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
from support.processes.postgresql import Server

from lens_engine.jobs.environment import process_environment

PATIENCE_SECONDS = 30.0


class Victim:
    """A program that is started again after each kill.

    Parameters
    ----------
    log
        What it says, for whoever looks into a failure.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.endings: list[int] = []
        """Exit codes of endings that were no kill of ours."""

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None and self._process.returncode != -9:
            self.endings.append(self._process.returncode)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment()
            )

    def kill(self) -> bool:
        """Kill it alone, as the system would; return whether it ran."""
        if self._process is None or self._process.poll() is not None:
            return False
        self._process.kill()
        self._process.wait()
        return True

    def end(self) -> int | None:
        """Ask it to end, and return its exit code."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def children(self) -> list[psutil.Process]:
        """Return the processes of its jobs, those of a training included."""
        if self._process is None or self._process.poll() is not None:
            return []
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def worker(project: Path, name: str, log: Path) -> Victim:
    """Return a worker that does not end by itself."""
    module = ["-m", "lens_engine.worker", "--project", str(project), "--executor-id", name]
    return Victim([sys.executable, *module], log)


def reader(project: Path, notes: Path, seed: int, log: Path) -> Victim:
    """Return a viewer whose keys are pressed."""
    return Victim([sys.executable, "-m", "soak.reader", str(project), str(notes), str(seed)], log)


def restart(server: Server, pause_seconds: float) -> None:
    """Kill a database server with all its processes, and start it again after a pause."""
    server.kill()
    time.sleep(pause_seconds)
    server.start()


def _environment() -> dict[str, str]:
    tests = Path(__file__).resolve().parents[1]
    path = os.pathsep.join(filter(None, [str(tests), os.environ.get("PYTHONPATH", "")]))
    return {**process_environment(), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
