"""A child process that never gets as far as its model: for what happens to a job meanwhile."""

import os
from pathlib import Path

import psutil
import pytest


def hang_while_loading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every process that is started from now on wait for ever where it loads torch."""
    folder.mkdir()
    (folder / "torch.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)


def end_children_of(folder: Path) -> None:
    """Kill the processes of jobs that were left behind where they load torch, of the project in a folder."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "lens_engine.tasks" in command and str(folder) in command:
            process.kill()
