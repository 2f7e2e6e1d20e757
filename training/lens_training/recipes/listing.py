"""Recipes as tables and text for people."""

from collections.abc import Sequence

import yaml
from rich.table import Table

from lens_training.recipes.files import load_recipe, recipe_names
from lens_training.recipes.recipe import PublishedRow, Recipe


def recipe_table() -> Table:
    """Return one line for each recipe: its name, its title and what the paper reports."""
    table = Table("recipe", "what", "table", "published average", "data sets")
    for name in recipe_names():
        recipe = load_recipe(name)
        row = recipe.row
        table.add_row(
            name,
            recipe.title,
            "" if row is None else row.table,
            "" if row is None else _average(row),
            ", ".join(recipe.datasets) if row is not None else "",
        )
    return table


def recipe_text(recipe: Recipe, chain: Sequence[str] = ()) -> str:
    """Return a resolved recipe as YAML, headed by its title and by the names it inherits from, its own first."""
    heading = f"# {recipe.title or recipe.name}\n"
    if len(chain) > 1:
        heading += f"# inherits: {' <- '.join(chain)}\n"
    return heading + yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _average(row: PublishedRow) -> str:
    if row.average is None:
        return ""
    return f"{row.average:.1f} %" + (" (with mining)" if row.with_mining else "")
