"""`python -m lens_training`: the process that a training job starts."""

from lens_training.cli import app

if __name__ == "__main__":
    app(prog_name="python -m lens_training")
