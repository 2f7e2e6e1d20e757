"""Recipes as files: found by name, resolved through what they inherit, validated."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from lens_engine.detector.input_config import CropScope
from lens_engine.errors import ConfigError
from lens_training.recipes.files import (
    RECIPES_FOLDER,
    Scale,
    default_scale,
    find_recipe,
    load_recipe,
    merged,
    recipe_names,
    system_recipe_names,
)
from lens_training.recipes.listing import recipe_table, recipe_text

ROWS = ("L2-a", "L2-b", "L2-c", "L3-1", "L3-2", "L3-3", "L3-4", "L3-5")
AVERAGES_WITH_MINING = {
    **{"L2-d": 45.7, "L2-e": 46.8, "L2-f": 47.3, "L2-g": 47.6, "L2-h": 50.4},
    **{"L4-0": 36.8, "L4-1": 37.7, "L4-2": 40.7, "L4-3": 44.6, "L4-4": 46.8, "L4-W": 38.0, "L4-D": 43.7},
}
OTHER_AVERAGES = {
    **{"L2-base": 33.9, "L2-h-alone": 32.0, "L4-2r": None, "L5-5": 47.6, "L5-6": 44.9},
    **{"M1-1": 34.1, "M1-2": 39.6, "M1-3": 39.6, "M1-4": 41.8, "M4-5": 40.7},
}
FURTHER = {"delta", "sigma", "lens-fpr"}
TABLES = {
    "L2": "LENS Table II",
    "L4": "LENS Table IV",
    "L5": "LENS Table V",
    "M1": "MELD Table 1",
    "M4": "MELD Table 4",
}
"""What the names of rows begin with."""


@pytest.mark.parametrize("scale", Scale)
@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_valid_at_every_scale_and_named_like_its_file(name: str, scale: Scale):
    assert load_recipe(name, scale).name == name


def test_every_row_of_lens_without_mining_has_its_recipe():
    assert set(ROWS) <= set(recipe_names())


@pytest.mark.parametrize(("name", "average"), AVERAGES_WITH_MINING.items())
def test_a_row_about_mining_has_its_recipe_and_its_published_average(name: str, average: float):
    recipe = load_recipe(name)
    assert recipe.row is not None
    assert recipe.row.average == average
    assert recipe.row.table == ("LENS Table II" if name.startswith("L2") else "LENS Table IV")
    assert (recipe.mining is None) == (name == "L4-0")
    assert not recipe.row.with_mining


@pytest.mark.parametrize(("name", "average"), OTHER_AVERAGES.items())
def test_every_other_row_has_the_average_of_its_table(name: str, average: float | None):
    row = load_recipe(name).row
    assert row is not None
    assert (row.table, row.average, row.with_mining) == (TABLES[name[:2]], average, False)


def test_the_baseline_is_one_expert_that_proposes_with_anchors():
    recipe = load_recipe("L2-base")
    assert recipe.datasets == ("deeplesion",)
    assert recipe.detector.proposal == "rpn"
    assert recipe.mining is None


def test_the_two_recipes_that_differ_in_the_treatment_of_uncertain_places_share_all_else():
    proposed, as_lesions = load_recipe("L5-5"), load_recipe("L5-6")
    assert as_lesions.mining is not None
    assert as_lesions.mining.settings == {"uncertain_as_lesions": True}
    same = {"name": "x", "title": "", "row": None, "mining": None}
    assert proposed.model_copy(update=same) == as_lesions.model_copy(update=same)


@pytest.mark.parametrize("name", [name for name in (*AVERAGES_WITH_MINING, "L4-2r") if name.startswith("L4")])
def test_the_rows_of_table_4_learn_from_deeplesion_alone(name: str):
    assert load_recipe(name).datasets == ("deeplesion",)


@pytest.mark.parametrize("name", [*ROWS, *AVERAGES_WITH_MINING, "L2-base", "M1-1", "M1-2", "M1-3", "M1-4"])
def test_the_published_average_of_a_row_is_the_mean_of_its_sensitivities(name: str):
    row = load_recipe(name).row
    assert row is not None
    assert row.average is not None
    if row.sensitivity is not None:
        assert np.mean(row.sensitivity) == pytest.approx(row.average, abs=0.06)


def test_a_row_shows_only_its_difference():
    values = yaml.safe_load((RECIPES_FOLDER / "lens-table-3" / "L3-1.yaml").read_text())
    assert values["detector"] == {"proposal": "rpn"}
    assert find_recipe("L3-1").chain == ("L3-1", "L3-5", "L2-c", "lens")


def test_the_recipes_of_published_systems_are_the_rows_and_what_goes_beyond_them():
    assert set(system_recipe_names()) == {*ROWS, *AVERAGES_WITH_MINING, *OTHER_AVERAGES, *FURTHER}


def test_what_systems_share_is_no_recipe_of_its_own():
    assert "lens" not in recipe_names()


def test_mappings_are_merged_and_everything_else_is_replaced():
    parent = {"a": {"x": 1, "y": [1, 2]}, "b": 1, "c": {"z": 1}}
    assert merged(parent, {"a": {"y": [3]}, "c": None}) == {"a": {"x": 1, "y": [3]}, "b": 1, "c": None}


def test_a_recipe_of_ones_own_inherits_from_one_of_the_package(tmp_path: Path):
    path = tmp_path / "patient.yaml"
    path.write_text("inherits: L2-a\nschedule: {learning_rate: 3.0e-4}")
    mine, parent = load_recipe(str(path)), load_recipe("L2-a")
    assert mine.name == "patient"
    assert mine.schedule.learning_rate == 3e-4
    assert mine.schedule.weight_decay == parent.schedule.weight_decay
    assert mine.datasets == parent.datasets


def test_a_recipe_that_inherits_from_itself_is_refused_with_the_circle(tmp_path: Path):
    first, second = tmp_path / "one.yaml", tmp_path / "two.yaml"
    first.write_text(f"inherits: {second}")
    second.write_text(f"inherits: {first}")
    with pytest.raises(ConfigError, match="one <- two <- one"):
        load_recipe(str(first))


def test_an_unknown_recipe_is_named_with_those_that_exist():
    with pytest.raises(ConfigError, match=r"'slow'.*L2-a.*from-scratch"):
        load_recipe("slow")


def test_a_recipe_may_show_wider_patients_at_inference_than_its_size_does(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("inherits: L2-c\ndetector: {inference_side: 768}\n")
    mine, parent = (load_recipe(name, Scale.PUBLISHED).detector.config(("lung",)) for name in (str(path), "L2-c"))
    assert (mine.longest_side, parent.longest_side) == (768, 640)
    assert mine.max_side == parent.max_side == 512


@pytest.mark.parametrize("scale", Scale)
def test_a_recipe_may_crop_each_slice_as_the_published_code_does(tmp_path: Path, scale: Scale):
    path = tmp_path / "mine.yaml"
    path.write_text("inherits: L2-c\ndetector: {crop: slice}\n")
    mine, parent = (load_recipe(name, scale).detector.config(("lung",)) for name in (str(path), "L2-c"))
    assert mine == parent.model_copy(update={"crop": CropScope.SLICE})


def test_an_unknown_parent_is_named(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("inherits: L9-x")
    with pytest.raises(ConfigError, match="'L9-x'"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: 0\nschedule: {learning_rate: 1}", "steps"),
        ("steps: 1\nschedule: {learning_rate: 1}\nspeed: 3", "speed"),
        ("steps: 1\nschedule: {learning_rate: 1}\naugmentation: {scale: [2, 1]}", "scale"),
        ("steps: 1\nepochs: 1\nschedule: {learning_rate: 1}", "exactly one"),
        ("inherits: L2-a\ndatasets: []", "datasets"),
        ("inherits: L2-c\ndatasets: [luna16, luna16]", "each of them is needed once"),
        ("inherits: L2-c\ndatasets: [luna16, deeplesion]", "the universal one comes first"),
        ("inherits: L2-a\ndatasets: [luna16]", "evaluation.output"),
        ("inherits: L2-a\nphantoms: {slice_spacings_mm: []}", "slice_spacings_mm"),
        ("inherits: L2-a\nrow: {sensitivity: [1.0]}", "sensitivity"),
        ("inherits: L2-c\ndetector: {inference_side: 256}", "inference_side"),
        ("a: [", "YAML"),
        ("a: &a [1]\nb: [*a, *a]", "YAML"),
        ("- steps", "list"),
    ],
)
def test_a_wrong_recipe_names_its_field(tmp_path: Path, text: str, message: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_recipe(str(path))


def test_the_tiny_scale_keeps_what_makes_the_row():
    tiny, published = load_recipe("L3-3", Scale.TINY), load_recipe("L3-3")
    assert tiny.detector.model_dump(exclude={"size"}) == published.detector.model_dump(exclude={"size"})
    assert tiny.datasets == published.datasets
    assert tiny.evaluation == published.evaluation


def test_a_scale_adds_no_section_that_the_recipe_lacks():
    assert load_recipe("L2-c", Scale.TINY).false_positive_reduction is None
    assert load_recipe("from-scratch", Scale.TINY).phantoms is None
    reduction = load_recipe("lens-fpr", Scale.TINY).false_positive_reduction
    assert reduction is not None
    assert reduction.size == "narrow"


@pytest.mark.parametrize("name", system_recipe_names())
def test_a_published_system_is_tiny_on_phantoms_and_needs_no_weights(name: str):
    assert default_scale(name, on_phantoms=False) is Scale.PUBLISHED
    recipe = load_recipe(name, default_scale(name, on_phantoms=True))
    assert recipe.detector.size == "narrow"
    assert recipe.initial_weights == "none"


def test_the_model_that_ships_is_trained_on_phantoms_as_its_recipe_says():
    assert default_scale("phantom-demo", on_phantoms=True) is Scale.PUBLISHED


def test_a_shown_recipe_is_a_recipe_file_that_says_where_it_comes_from(tmp_path: Path):
    text = recipe_text(load_recipe("L3-1"), find_recipe("L3-1").chain)
    assert "inherits: L3-1 <- L3-5 <- L2-c <- lens" in text
    path = tmp_path / "L3-1.yaml"
    path.write_text(text)
    assert load_recipe(str(path)) == load_recipe("L3-1")


def test_the_list_has_a_line_for_every_recipe():
    assert recipe_table().row_count == len(recipe_names())
