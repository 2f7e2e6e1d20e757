"""Ctrl+C is understood from the first second on."""

import signal
import subprocess
import sys

import pytest

from lens_engine.jobs.environment import process_environment


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to a single process")
def test_ctrl_c_while_libraries_are_loaded_ends_with_a_line_and_its_exit_code() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "lens_training", "recipe", "run", "L2-a"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=process_environment(), text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "numpy" in line:
            break
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 128 + signal.SIGINT
    assert rest.splitlines()[-1] == "Stopped before anything was begun."
