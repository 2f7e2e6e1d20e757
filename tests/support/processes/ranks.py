"""The processes of one run, started as torchrun would start them."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

COUNT = 2


def run_ranks(program: ModuleType, folder: Path) -> None:
    """Run `python PROGRAM FOLDER` in two processes of one run, and wait for the end of both."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [_start(program, folder, rank, port) for rank in range(COUNT)]
    try:
        deadline = time.monotonic() + 240
        while any(process.poll() is None for process in processes) and not any(p.returncode for p in processes):
            assert time.monotonic() < deadline, "waited in vain for the end of a process"
            time.sleep(0.05)
        assert [process.returncode for process in processes] == [0] * COUNT
    finally:
        for process in processes:
            process.kill()
            process.wait()


def note_outcomes(folder: Path, outcomes: dict[str, dict[str, Any]]) -> None:
    """Keep, in a process, what each of its attempts ended with."""
    (folder / f"outcomes-{os.environ['RANK']}.json").write_text(json.dumps(outcomes))


def outcomes(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what an attempt ended with in both processes."""
    first, second = (json.loads((folder / f"outcomes-{rank}.json").read_text())[name] for rank in range(COUNT))
    return first, second


def _start(program: ModuleType, folder: Path, rank: int, port: int) -> subprocess.Popen[bytes]:
    file = str(program.__file__)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": COUNT}
    path = os.pathsep.join([str(Path(file).parents[2]), *sys.path])  # it runs the code that is tested, wherever it lies
    torchrun = {"TORCHELASTIC_RUN_ID": "test", "LOCAL_WORLD_SIZE": COUNT, "PYTHONPATH": path}
    environment = os.environ | {name: str(value) for name, value in (place | torchrun).items()}
    return subprocess.Popen([sys.executable, file, str(folder)], env=environment)
