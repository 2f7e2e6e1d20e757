"""`python -m lens_engine.worker --project DIR`: works through the jobs of a project."""

import argparse
import logging
import sys
from pathlib import Path

from lens_engine.jobs.interrupts import answer_interrupts_with

if __name__ == "__main__":
    answer_interrupts_with("Stopped before any job was begun.")

# They take a second to load, in which a Ctrl+C is to be understood already.
from lens_engine.errors import LensError
from lens_engine.project import Project
from lens_engine.worker.worker import default_executor_id, work

logger = logging.getLogger("lens_engine.worker")


def main() -> int:
    """Work until told to end, or until nothing was to do for as long as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m lens_engine.worker", description="Work through a project's jobs.")
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--executor-id", default=default_executor_id())
    parser.add_argument("--idle-minutes", type=float, help="end after so long without a job; never by default")
    parser.add_argument("--metrics", metavar="[HOST:]PORT", help="offer metrics there, on this computer by default")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    idle_seconds = None if arguments.idle_minutes is None else arguments.idle_minutes * 60
    try:
        work(Project.open(arguments.project), arguments.executor_id, idle_seconds, arguments.metrics)
    except LensError as error:
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
