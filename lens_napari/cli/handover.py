"""How a verb becomes another program: nothing stays between the user's shell and it, so signals reach it."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

import typer


def become(module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Go on as `python -m module`, with the environment given, and leave with its exit code."""
    command = [sys.executable, "-m", module, *arguments]
    sys.stdout.flush()
    if sys.platform == "win32":  # where a process cannot become another one
        raise typer.Exit(subprocess.call(command, env=environment))
    os.execve(command[0], command, environment)
