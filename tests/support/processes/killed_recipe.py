"""A recipe in a process of its own that may be killed where a stage reports a number.

`python killed_recipe.py RECIPE FOLDER [STAGE DONE]` runs a recipe file on phantoms, always with what an earlier process
has left in the folder, and kills itself when STAGE reports DONE. What was reported is added to FOLDER/reported.jsonl.
"""

import json
import os
import signal
import sys
from pathlib import Path

from lens_training.recipes.files import load_recipe
from lens_training.reproduction.data import PHANTOM
from lens_training.reproduction.detector_stage import RecipeRun
from lens_training.reproduction.run import run_recipe
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal


class KillingFile:
    """Keeps every report, and ends the process in the hardest way at one of them."""

    def __init__(self, path: Path, place: tuple[str, int] | None) -> None:
        self._path, self._place = path, place

    def write(self, text: str) -> int:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)
        message = json.loads(text)
        if (message["stage"], message["done"]) == self._place:
            os.kill(os.getpid(), signal.SIGKILL)
        return len(text)

    def flush(self) -> None:
        """Leave nothing to be written: every report is closed at once."""

    def isatty(self) -> bool:
        return False


def main(recipe: str, folder: Path, place: tuple[str, int] | None) -> None:
    folder.mkdir(exist_ok=True)
    log = ProgressLog(KillingFile(folder / "reported.jsonl", place), None, interval_seconds=0)  # type: ignore[arg-type]  # all of a stream that is used
    run_recipe(RecipeRun(load_recipe(recipe), PHANTOM, folder), log, StopSignal(), resume=True)


if __name__ == "__main__":
    _, recipe_file, out, *rest = sys.argv
    main(recipe_file, Path(out), (rest[0], int(rest[1])) if rest else None)
