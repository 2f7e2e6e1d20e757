"""`python -m lens_training`: the process that a training job starts."""

import os
import signal
import sys
from types import FrameType

PROGRAM_VARIABLE = "LENS_PROGRAM"
"""What the user typed to come here, for usage lines; set by `lens recipe` and `lens data`."""


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    """Answer a Ctrl+C while the libraries are still being loaded, where an exception would be half theirs."""
    sys.stderr.write("Stopped before anything was begun.\n")
    sys.stderr.flush()
    os._exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _end_at_once)

from lens_training.cli.app import app  # noqa: E402 # takes seconds, in which a Ctrl+C is to be understood already

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    app(prog_name=os.environ.get(PROGRAM_VARIABLE, "python -m lens_training"))
