"""Several processes of one run on this node, started by one that watches over them and learns nothing itself.

Each repeats our command line, with its number in the environment, and ends by itself when this process dies.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing

from lens_engine.jobs.environment import available_cores
from lens_training.errors import TrainingInterruptedError
from lens_training.running.stopping import EXIT_CODE, StopSignal

PATIENCE_SECONDS = 20.0
"""How long the others may take to notice that a process has crashed, and to say so, before they are killed."""
_POLL_SECONDS = 0.1


def run_processes(arguments: Sequence[str], count: int, stop: StopSignal) -> int:
    """Run `python -m lens_training` with these arguments in several processes and return the exit code of the first.

    Raises
    ------
    TrainingInterruptedError
        If a process crashed and the first one could not tell.
    """
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [_start(arguments, rank, count, port) for rank in range(count)]
    try:
        return _watch(processes, stop)
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def _start(arguments: Sequence[str], rank: int, count: int, port: int) -> subprocess.Popen[bytes]:
    cores = available_cores()
    threads = min(int(os.environ.get("OMP_NUM_THREADS", cores)), max(cores // count, 1))
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": count, "LOCAL_RANK": rank}
    place |= {"OMP_NUM_THREADS": threads}
    return subprocess.Popen(
        [sys.executable, "-m", "lens_engine.worker.end_with_parent", "lens_training", *arguments],
        stdin=subprocess.PIPE,  # closes with us, and ends the process then
        env=os.environ | {name: str(value) for name, value in place.items()},
    )


def _watch(processes: Sequence[subprocess.Popen[bytes]], stop: StopSignal) -> int:
    """Wait for the end of all; once one has crashed only as long as the others may need to say so."""
    is_told = False
    crashed: list[int] = []
    deadline = float("inf")
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        if stop.is_set and not is_told:
            is_told = True
            for process in processes:
                process.send_signal(signal.SIGTERM)
        if not crashed and (crashed := _crashed(processes)):
            deadline = time.monotonic() + PATIENCE_SECONDS
        time.sleep(_POLL_SECONDS)
    crashed = crashed or _crashed(processes)
    first = processes[0].returncode
    code = processes[crashed[0]].returncode if crashed else 0
    if code >= 0 and first in (0, 1, EXIT_CODE):  # the first process has told
        return int(first)
    stop.check()  # told to end before they could listen
    raise TrainingInterruptedError(
        f"Process {crashed[0]} of {len(processes)} has ended {_in_words(code)}",
        "All processes must run to the end",
        "Look at what it said last, or for lack of memory",
    )


def _crashed(processes: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Return the numbers of those that ended otherwise than well."""
    return [rank for rank, process in enumerate(processes) if process.poll()]


def _in_words(code: int) -> str:
    return f"by signal {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
