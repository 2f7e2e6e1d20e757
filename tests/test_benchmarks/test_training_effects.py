from pathlib import Path

import pytest

from benchmarks.detector.training_effects import EFFECTS, PARENT, differences, recipe_of
from lens_training.recipes.files import load_recipe


@pytest.mark.parametrize("effect", EFFECTS)
def test_every_arm_is_a_recipe_that_differs_from_the_others(tmp_path: Path, effect: str):
    recipes = []
    for number, arm in enumerate(EFFECTS[effect]):
        path = tmp_path / f"arm-{number}.yaml"
        path.write_text(recipe_of(effect, arm), encoding="utf-8")
        recipes.append(load_recipe(str(path)))
    assert len({recipe.model_dump_json(exclude={"name"}) for recipe in recipes}) == len(recipes)
    assert {recipe.steps for recipe in recipes} == {load_recipe(PARENT).steps}


def test_arms_are_compared_seed_by_seed():
    found = differences({"default": [0.50, 0.60, 0.70], "other": [0.52, 0.61, 0.73]})
    assert (found["default"].difference, found["default"].low, found["default"].high) == (0, 0, 0)
    other = found["other"]
    assert (other.mean, other.difference) == pytest.approx((0.62, 0.02))
    assert (other.low, other.high) == pytest.approx((0.02 - 0.024841, 0.02 + 0.024841), abs=1e-5)


def test_one_seed_says_nothing_about_a_difference():
    found = differences({"default": [0.5], "other": [0.9]})["other"]
    assert (found.low, found.high) == (float("-inf"), float("inf"))
