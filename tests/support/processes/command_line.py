"""The command line, as a person at a shell starts it: each command is a process of its own.

It is forked from one that has loaded what the commands need, which takes longer than most of them run.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

from lens_napari.cli import main
from lens_napari.cli.app import MODULE_OF

LENS = [sys.executable, "-c", "from lens_napari.cli import main; main()"]
PATIENCE_SECONDS = 500.0

_loaded = multiprocessing.get_context("forkserver")
_loaded.set_forkserver_preload(sorted({f"lens_napari.cli.verbs.{module}" for module in MODULE_OF.values()}))


def lens(*arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `lens` to its end."""
    command = ["lens", *map(str, arguments)]
    with NamedTemporaryFile() as said, NamedTemporaryFile() as complained:
        outputs = said.name, complained.name
        process = _loaded.Process(target=_run, args=(command, folder or Path.cwd(), dict(os.environ), outputs))
        process.start()
        process.join(PATIENCE_SECONDS)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(command, PATIENCE_SECONDS)
        told = [Path(name).read_text(encoding="utf-8") for name in outputs]
    return subprocess.CompletedProcess(command, process.exitcode, *told)


def _run(command: list[str], folder: Path, environment: Mapping[str, str], outputs: tuple[str, str]) -> None:
    for descriptor, name in enumerate(outputs, start=1):
        os.dup2(os.open(name, os.O_WRONLY), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = command
    main()
