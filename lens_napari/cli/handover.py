"""How a verb becomes another program: nothing stays between the user's shell and it, so signals reach it."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

import typer

from lens_engine.jobs.interrupts import leave_interrupts_to_the_next


def become(module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Go on as `python -m module`, with the environment given, and leave with its exit code.

    The module has to begin with `answer_interrupts_with`: no Ctrl+C reaches it before.
    """
    command = [sys.executable, "-m", module, *arguments]
    sys.stdout.flush()
    if sys.platform == "win32":  # where a process cannot become another one
        raise typer.Exit(subprocess.call(command, env=environment))
    leave_interrupts_to_the_next()
    os.execve(command[0], command, environment)
