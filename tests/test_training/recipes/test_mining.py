"""The section `mining` of a recipe: which strategy, with which settings, and what is refused at load."""

from pathlib import Path

import pytest

from lens_engine.errors import ConfigError
from lens_engine.mining.strategies.choice import MiningStrategy
from lens_engine.mining.strategies.lens import LensSettings, LensStep
from lens_engine.mining.strategies.wang import WangSettings
from lens_training.recipes.files import Scale, load_recipe
from lens_training.recipes.mining import MiningRecipe
from lens_training.recipes.recipe import EvaluatedOutput


def recipe_file(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(f"inherits: L2-e\n{text}")
    return str(path)


def test_settings_that_are_not_given_are_those_published():
    assert MiningRecipe(strategy=MiningStrategy.WANG).complete_settings == WangSettings()
    chosen = MiningRecipe(strategy=MiningStrategy.LENS, settings={"up_to": "cross-slice"}).complete_settings
    assert chosen == LensSettings(up_to=LensStep.CROSS_SLICE)


@pytest.mark.parametrize(
    ("settings", "is_calibrated"),
    [({}, True), ({"distance_limit": 0.15}, False), ({"up_to": "cross-slice"}, False)],
)
def test_the_limit_of_matches_is_calibrated_unless_it_is_given_or_nothing_is_matched(
    settings: dict[str, object], is_calibrated: bool
):
    assert MiningRecipe(strategy=MiningStrategy.LENS, settings=settings).calibrates_limit == is_calibrated


@pytest.mark.parametrize(
    ("name", "is_used"), [("L4-1", False), ("L4-2", False), ("L4-3", False), ("L4-4", True), ("L4-W", False)]
)
def test_only_the_last_row_of_table_4_trains_on_unlabelled_slices(name: str, is_used: bool):
    mining = load_recipe(name).mining
    assert mining is not None
    assert mining.uses_unlabelled == is_used


@pytest.mark.parametrize("name", ["L4-D", "M1-2", "M1-3", "M1-4", "M4-5"])
def test_strategies_that_mine_every_scan_train_on_slices_without_annotations(name: str):
    mining = load_recipe(name).mining
    assert mining is not None
    assert mining.uses_unlabelled


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mining: {strategy: distillation}", "copies is 0"),
        ("mining: {strategy: distillation, copies: 2}", "at least 3 copies"),
        ("mining: {rounds: 3}", "rounds"),
        ("sweep: {setting: distance_limit, values: [0.1, 0.1]}", "each of them is needed once"),
        ("sweep: {setting: distance, values: [0.1, 0.2]}", "distance of the mining strategy lens"),
        ("sweep: {setting: rules.linking_iou, values: [0.1, 2]}", "linking_iou is 2"),
        ("sweep: {setting: distance_limit, values: [0.1, 0.2]}\nmining: null", "there is no mining"),
        ("sweep: {setting: distance_limit, values: [0, 1]}\nmining: {rounds: 2}", "mining.rounds is 2"),
        ("evaluation: {output: fpr-alone}", "no false_positive_reduction"),
        ("evaluation: {output: with-fpr}", "no false_positive_reduction"),
        ("mining: {settings: {distance: 1}}", "distance of the mining strategy lens"),
        ("mining: {settings: {distance_limit: 3}}", "distance_limit is 3"),
        ("mining: {settings: {rules: {linking_iou: 2}}}", "linking_iou is 2"),
        ("mining: {strategy: guess}", "strategy"),
        ("mining: {speed: 3}", "speed"),
        ("datasets: [deeplesion, lits]\nmining: {datasets: [deeplesion]}", "mining.datasets lack lits"),
        ("datasets: [lits]\nmining: {datasets: null}", "mining needs a universal one"),
    ],
)
def test_a_wrong_section_is_refused_with_what_is_wrong(tmp_path: Path, text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        load_recipe(recipe_file(tmp_path, text))


def test_the_first_round_is_the_recipe_up_to_its_detector():
    recipe = load_recipe("L2-h")
    first = recipe.first_round
    assert first.mining is None
    assert first.false_positive_reduction is None
    assert first.deciding_fields != recipe.deciding_fields
    assert load_recipe("L2-f").first_round.evaluation.output is EvaluatedOutput.FUSED
    assert len(load_recipe("L2-e").first_round.datasets) == 4


def test_what_is_mined_decides_through_the_labels_alone():
    assert load_recipe("L4-1").model_copy(update={"name": "x"}).deciding_fields == (
        load_recipe("L4-3").model_copy(update={"name": "x"}).deciding_fields
    )


def test_a_sweep_changes_one_setting_and_shares_all_that_comes_before(tmp_path: Path):
    text = "mining: {settings: {up_to: cross-dataset}}\nsweep: {setting: rules.uncertain_min_score, values: [0.2, 1]}"
    recipe = load_recipe(recipe_file(tmp_path, text))
    low, high = recipe.points.values()
    assert list(recipe.points) == ["rules.uncertain_min_score-0.2", "rules.uncertain_min_score-1"]
    assert low.mining is not None
    assert low.mining.settings == {"up_to": "cross-dataset", "rules": {"uncertain_min_score": 0.2}}
    assert low.sweep is None
    assert low.first_round == high.first_round == recipe.first_round


def test_a_recipe_without_a_sweep_has_no_points():
    assert load_recipe("L2-g").points == {}


def test_meld_calibrates_its_limit_where_it_matches():
    assert MiningRecipe(strategy=MiningStrategy.MELD).calibrates_limit
    assert not MiningRecipe(strategy=MiningStrategy.MELD, settings={"with_matching": False}).matches
    assert not MiningRecipe(strategy=MiningStrategy.MELD, settings={"distance_limit": 0.2}).calibrates_limit


@pytest.mark.parametrize("name", ["L2-d", "L2-g", "L4-2", "L5-6", "M1-2", "delta"])
def test_published_rows_name_lesanet_and_tiny_runs_the_embedding_that_ships(name: str):
    for scale, embedding in ((Scale.PUBLISHED, "lesanet"), (Scale.TINY, "phantom-embedding")):
        mining = load_recipe(name, scale).mining
        assert mining is not None
        assert mining.embedding == embedding


def test_a_scale_gives_no_recipe_a_mining_that_it_has_not():
    assert load_recipe("L2-c", Scale.TINY).mining is None


def test_meld_goes_on_from_the_fourth_epoch_with_the_tail_of_the_learning_rate():
    recipe = load_recipe("M1-4")
    assert recipe.first_round.epochs == 8
    assert recipe.first_round.checkpoint_epochs == (4,)
    own = recipe.own_training
    assert own.epochs == 4
    steps = range(0, 100, 10)
    rates = [own.schedule.learning_rate * own.schedule.factor(step, 100) for step in steps]
    assert rates == pytest.approx([1e-5] * 5 + [1e-6] * 5)
    lens = load_recipe("L2-g")
    assert lens.own_training is lens
    assert load_recipe("M1-4", Scale.TINY).own_training.steps == 1500


def test_a_run_that_is_no_longer_than_the_epoch_it_goes_on_from_is_refused():
    with pytest.raises(ConfigError, match="after epoch 4, and its run has 3 epochs"):
        load_recipe("M1-4").with_length(epochs=3)
    with pytest.raises(ConfigError, match="has 100 steps"):
        load_recipe("M1-4").with_length(steps=100)
