"""`python -m lens_engine.tasks --project DIR --job ID`: the process that does the heavy part of one job.

Its standard error is the job's log. It ends at once when its standard input closes.
"""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TextIO

from lens_engine.errors import LensError
from lens_engine.project import Project
from lens_engine.tasks.service import Line, serve
from lens_engine.tasks.workbench import Workbench
from lens_engine.worker.file_lock import FileLock
from lens_engine.worker.messages import Failed

LOCK_SECONDS = 30.0
"""How long a new child waits for the one of a killed worker to be gone."""


def main() -> int:
    """Serve one job."""
    parser = argparse.ArgumentParser(prog="python -m lens_engine.tasks", description="Do the tasks of one job.")
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--job", required=True)
    arguments = parser.parse_args()
    output = _own_standard_output()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    line = Line(output)
    try:
        project = Project.open(arguments.project)
        folder = project.jobs_folder / arguments.job
        with FileLock(folder / "child.lock", f"work on job {arguments.job}", LOCK_SECONDS):
            serve(line, Workbench(project, folder))
    except LensError as error:
        line.tell(Failed.of(error))
        return 1
    return 0


def _own_standard_output() -> TextIO:
    """Return the standard output for events, and send whatever else is printed to the log."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return output


if __name__ == "__main__":
    sys.exit(main())
