"""One of two processes that run a recipe together, to be started as torchrun would.

`python recipe_rank_program.py FOLDER`: the folder has a recipe `quick.yaml` and its `data`; the run goes to `out`.
"""

import json
import os
import sys
from io import StringIO
from pathlib import Path

from lens_training.recipes.files import Scale, load_recipe
from lens_training.reproduction.detector_stage import RecipeRun
from lens_training.reproduction.run import run_recipe
from lens_training.running.processes.world import world_of
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal
from support.processes.ranks import note_outcomes
from support.processes.waiting import wait_until

RANK = int(os.environ.get("RANK", "0"))


class MeetingStream(StringIO):
    """Lets no process measure a second case before both measure their first."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def write(self, text: str) -> int:
        message = json.loads(text)
        if message["stage"] == "evaluate" and message["done"] < message["total"]:
            (self._folder / f"met-{RANK}").touch()
            wait_until((self._folder / f"met-{1 - RANK}").exists, "the other process measures a case")
        return super().write(text)


def attempt(folder: Path, *, resume: bool) -> dict[str, object]:
    """Run the recipe and return what was measured."""
    recipe, world = load_recipe(str(folder / "quick.yaml"), Scale.PUBLISHED), world_of(1, 1, os.environ)
    run = RecipeRun(recipe, str(folder / "data"), folder / "out", world=world)
    shown = MeetingStream(folder)
    results = run_recipe(run, ProgressLog(shown, None, 0), StopSignal(), resume=resume)
    stages = [json.loads(line)["stage"] for line in shown.getvalue().splitlines()]
    return {"metrics": None if results is None else dict(results.metrics), "measured": "evaluate" in stages}


def main(folder: Path) -> None:
    note_outcomes(folder, {name: attempt(folder, resume=name == "again") for name in ("first", "again")})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
