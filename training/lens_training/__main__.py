"""`python -m lens_training`: the process that a training job starts."""

import os
import signal

from lens_engine.jobs.interrupts import answer_interrupts_with

PROGRAM_VARIABLE = "LENS_PROGRAM"
"""What the user typed to come here, for usage lines; set by `lens recipe` and `lens data`."""

if __name__ == "__main__":
    answer_interrupts_with("Stopped before anything was begun.")

from lens_training.cli.app import app  # noqa: E402 # takes seconds, in which a Ctrl+C is to be understood already

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    app(prog_name=os.environ.get(PROGRAM_VARIABLE, "python -m lens_training"))
