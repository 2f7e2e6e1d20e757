"""One program becomes another, and a Ctrl+C in between is not lost."""

import signal
import subprocess
import sys

import pytest

INTERRUPTED_ON_THE_WAY = """
import os, signal, sys
from lens_napari.cli.handover import become

begin = os.execve

def interrupted(*arguments):
    os.kill(os.getpid(), signal.SIGINT)
    begin(*arguments)

os.execve = interrupted
become(sys.argv[1], ["--help"], os.environ)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot make one program of another")
@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("lens_training", "Stopped before anything was begun.\n"),
        ("lens_engine.worker", "Stopped before any job was begun.\n"),
    ],
)
def test_a_ctrl_c_between_two_programs_ends_the_second_one_with_a_line(module: str, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_ON_THE_WAY, module], capture_output=True, text=True, check=False
    )
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == words
