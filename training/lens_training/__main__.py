"""`python -m lens_training`: the process that a training job starts."""

import os

from lens_training.cli.app import app

PROGRAM_VARIABLE = "LENS_PROGRAM"
"""What the user typed to come here, for usage lines; set by `lens recipe` and `lens data`."""

if __name__ == "__main__":
    app(prog_name=os.environ.get(PROGRAM_VARIABLE, "python -m lens_training"))
