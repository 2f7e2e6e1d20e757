"""What the points of a sweep gave, side by side."""

import json
from collections.abc import Mapping
from pathlib import Path

from lens_engine.io.atomic_files import write_text_atomically
from lens_training.recipes.sweep import SweepRecipe
from lens_training.reproduction.measuring.results import RESULTS_FILE, TABLES_FILE, RecipeResults


def write_sweep(folder: Path, sweep: SweepRecipe, points: Mapping[str, RecipeResults]) -> RecipeResults:
    """Write the results of all points, by their names, to the folder of the sweep, and return them as one table."""
    width = max(len(name) for name in points)
    heads = f"{'':{width}}  average %   lesions  2D boxes  2D uncertain    slices"
    text = "\n".join([f"Sweep over {sweep.setting}:", heads, *(_line(name, width, points[name]) for name in points)])
    rows = [
        {"name": name, "value": value, "told": results.model_dump(mode="json")}
        for value, (name, results) in zip(sweep.values, points.items(), strict=True)
    ]
    write_text_atomically(folder / TABLES_FILE, text + "\n")
    write_text_atomically(folder / RESULTS_FILE, json.dumps({"sweep": sweep.setting, "points": rows}, indent=1) + "\n")
    return RecipeResults(metrics={}, text=f"{text}\nEverything measured is in the folders of the points in {folder}.")


def _line(name: str, width: int, results: RecipeResults) -> str:
    """Return a point: the average that is compared with the published row, and all that was mined."""
    average = "" if results.average is None else f"{100 * results.average:.1f}"
    mined = results.mined[-1].counts[-1]
    counts = f"{mined.lesions:10}{mined.boxes:10}{mined.uncertain_boxes:14}{mined.slices:10}"
    return f"{name:{width}}{average:>11}{counts}"
