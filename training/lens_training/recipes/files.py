"""Recipes on disk: found by name below `recipes/` or by path, resolved through what they inherit, and validated.

A recipe file shows only its difference: `inherits: NAME` takes everything else from another one, mapping by mapping; a
list or a plain value replaces the inherited one. A scale is one more such difference, laid over the resolved recipe; it
changes sections that the recipe has, and adds none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lens_engine.errors import ConfigError
from lens_engine.io.yaml_files import load_yaml
from lens_training.recipes.recipe import Recipe

RECIPES_FOLDER = Path(__file__).parent
SCALES_FOLDER = RECIPES_FOLDER / "scales"
SYSTEMS_FOLDER = RECIPES_FOLDER / "systems"
"""What the rows of one system share; not recipes of their own."""
_OTHER_FOLDERS = {SCALES_FOLDER, RECIPES_FOLDER / "embeddings"}
"""What is laid over recipes, and the recipes of lesion embeddings (`recipes.lesion_embedding`)."""
RECIPE_FILE = "recipe.yaml"
"""In the folder of a run: its recipe with everything that it inherits."""
_INHERITS = "inherits"
_SUFFIXES = {".yaml", ".yml"}


class Scale(StrEnum):
    """How large a recipe is run."""

    TINY = "tiny"
    """The narrow network for minutes on two cores: shows that the recipe works, not what the paper measured."""
    PUBLISHED = "published"
    """The recipe as the paper describes it."""


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """One recipe as found, before it is resolved.

    Attributes
    ----------
    chain
        Names of the recipe and of all that it inherits from, nearest first.
    values
        Everything together.
    """

    name: str
    chain: tuple[str, ...]
    values: Mapping[str, Any]


def recipe_names() -> tuple[str, ...]:
    """Return the names of all recipes that come with the package and can be run, in order."""
    return tuple(sorted(name for name, path in _files().items() if path.parent != SYSTEMS_FOLDER))


def system_recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes of published systems: those that inherit from a file of `SYSTEMS_FOLDER`."""
    systems = {path.stem for path in SYSTEMS_FOLDER.glob("*.yaml")}
    return tuple(name for name in recipe_names() if systems.intersection(find_recipe(name).chain))


def default_scale(name: str, *, on_phantoms: bool) -> Scale:
    """Return the scale that makes sense for the data: phantoms are too few and too plain for a published system."""
    return Scale.TINY if on_phantoms and name in system_recipe_names() else Scale.PUBLISHED


def load_recipe(name_or_path: str, scale: Scale = Scale.PUBLISHED) -> Recipe:
    """Return the recipe of that name, or the one in that file.

    Raises
    ------
    ConfigError
        If there is none, it is not valid, or it inherits from itself.
    """
    found = find_recipe(name_or_path)
    values = dict(found.values)
    if scale is not Scale.PUBLISHED:
        values = merged(values, _fitting(read_fields(SCALES_FOLDER / f"{scale}.yaml"), values))
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "the whole file"
        raise ConfigError(
            f"Recipe {Path(name_or_path).name} is wrong at {place}: {problem['msg']}",
            "See lens_training.recipes.recipe.Recipe for all fields",
            "Correct the file",
        ) from error


def find_recipe(name_or_path: str) -> RecipeFile:
    """Return a recipe with everything that it inherits, not validated yet.

    Raises
    ------
    ConfigError
        If it or one that it inherits from does not exist or is not YAML, or it inherits from itself.
    """
    chain: list[str] = []
    layers: list[dict[str, Any]] = []
    following: str | None = name_or_path
    while following is not None:
        path = _path_of(following)
        if path.stem in chain:
            raise ConfigError(
                f"Recipe {chain[0]} inherits from itself: {' <- '.join([*chain, path.stem])}",
                "A recipe inherits from another one",
                "Correct the line inherits",
            )
        values = read_fields(path)
        chain.append(path.stem)
        parent = values.pop(_INHERITS, None)
        layers.append(values)
        following = None if parent is None else str(parent)
    resolved: dict[str, Any] = {}
    for layer in reversed(layers):
        resolved = merged(resolved, layer)
    return RecipeFile(chain[0], tuple(chain), resolved | {"name": chain[0]})


def merged(values: Mapping[str, Any], difference: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with a difference laid over it: mappings are merged, everything else is replaced."""
    result = dict(values)
    for key, value in difference.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def read_fields(path: Path) -> dict[str, Any]:
    """Return the fields of one file, as they stand there.

    Raises
    ------
    ConfigError
        If it cannot be read, or is no YAML with fields.
    """
    try:
        values = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"The recipe {path.name} cannot be read ({error.strerror})", "A YAML file is needed", "Correct the path"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path.name} is not YAML ({error})", "A recipe is a YAML file", "Correct the file"
        ) from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path.name} holds {type(values).__name__} instead of fields", "A recipe has fields", "Correct the file"
        )
    return values


def stored_fields(folder: Path, name: str) -> dict[str, Any]:
    """Return the recipe that a run has left in its folder; no fields where there is none.

    Raises
    ------
    ConfigError
        If the folder belongs to another recipe than the one of that name.
    """
    path = folder / RECIPE_FILE
    stored = read_fields(path) if path.is_file() else {}
    if stored.get("name", name) != name:
        raise ConfigError(
            f"{folder} holds a run of recipe {stored['name']}, and this one is {name}",
            "A folder belongs to one recipe",
            "Choose another folder with --out, or remove this one",
        )
    return stored


def _fitting(scale: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a scale says about the sections that a recipe has; it adds none."""
    return {key: part for key, part in scale.items() if not isinstance(part, Mapping) or values.get(key) is not None}


def _files() -> dict[str, Path]:
    paths = (path for path in RECIPES_FOLDER.rglob("*.yaml") if path.parent not in _OTHER_FOLDERS)
    return {path.stem: path for path in paths}


def _path_of(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.suffix in _SUFFIXES:
        return path
    files = _files()
    if name_or_path not in files:
        raise ConfigError(
            f"There is no recipe {name_or_path!r}",
            f"One of {', '.join(recipe_names())}, or a YAML file",
            "Correct the name",
        )
    return files[name_or_path]
