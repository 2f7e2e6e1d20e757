from pathlib import Path

import pytest
import torch
from support.files.densenet121_weights import densenet121
from support.training.training_scenes import EXPERTS, tiny_model

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn
from lens_engine.detector.checkpoints.checkpoint import save_checkpoint
from lens_engine.detector.config import ProposalKind, narrow_lens, published_lens
from lens_engine.errors import CheckpointError
from lens_training.detector.initial import (
    average_with,
    model_from_checkpoint,
    new_model,
    retraining_recipe,
    with_more_experts,
)
from lens_training.recipes.files import load_recipe
from lens_training.recipes.recipe import DetectorRecipe, DetectorSize, Recipe
from lens_training.running.schedule import ScheduleRecipe


def test_a_new_data_set_gets_a_copy_of_the_universal_expert_and_the_others_stay():
    model = tiny_model()
    larger = with_more_experts(model, ("kidney",))
    assert larger.config.experts == (*EXPERTS, "kidney")
    before, after = model.state_dict(), larger.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    copies = [name for name in after if name.startswith(("proposers.2.", "classifiers.2.", "regressors.2."))]
    assert copies
    for name in copies:
        assert torch.equal(after[name], before[name.replace(".2.", ".0.", 1)])


def test_a_project_with_fewer_data_sets_keeps_all_experts_of_the_checkpoint(tmp_path: Path):
    save_checkpoint(tiny_model(), CheckpointCard(trained_on=TrainedOn.PHANTOMS), tmp_path)
    model, _ = model_from_checkpoint(tmp_path, ("universal",))
    assert model.config.experts == EXPERTS


def test_equal_seeds_give_equal_new_models():
    first, second = (new_model(EXPERTS, DetectorRecipe(), seed=2).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_new_model_begins_with_published_weights_in_its_trunk(tmp_path: Path):
    state = densenet121()
    torch.save(state, tmp_path / "densenet121.pth")
    detector = DetectorRecipe(size=DetectorSize.PUBLISHED, two_stages=False)
    model = new_model(("universal",), detector, seed=0, imagenet=tmp_path / "densenet121.pth")
    own = model.backbone.trunk.state_dict()
    for name in ("features.conv0.weight", "features.denseblock3.denselayer24.norm2.bias"):
        assert torch.equal(own[name], state[name])


def test_a_narrow_model_refuses_published_weights(tmp_path: Path):
    torch.save(densenet121(), tmp_path / "densenet121.pth")
    with pytest.raises(CheckpointError, match="published size of the detector"):
        new_model(EXPERTS, DetectorRecipe(), seed=0, imagenet=tmp_path / "densenet121.pth")


@pytest.mark.parametrize("kind", list(ProposalKind))
def test_a_detector_of_one_stage_gets_more_experts_as_well(kind: ProposalKind):
    model = new_model(EXPERTS, DetectorRecipe(proposal=kind, two_stages=False), seed=0)
    larger = with_more_experts(model, ("kidney",))
    first, copy = (larger.proposers[number].state_dict() for number in (0, 2))
    assert all(torch.equal(first[name], copy[name]) for name in first)


def test_the_learning_rate_drops_after_four_and_six_of_eight_epochs():
    schedule = ScheduleRecipe(learning_rate=1e-4)
    assert [round(schedule.factor(step, 8), 6) for step in range(8)] == [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]


def test_the_learning_rate_rises_over_the_first_steps():
    recipe = Recipe(name="x", steps=10, schedule=ScheduleRecipe(learning_rate=1, warmup_steps=3))
    assert [recipe.schedule.factor(step, 10) for step in range(4)] == [0.25, 0.5, 0.75, 1]


def card_of(recipe: str | None) -> CheckpointCard:
    return CheckpointCard(trained_on=TrainedOn.PHANTOMS, recipe=recipe)


def test_a_checkpoint_learns_on_with_the_crops_and_sampling_of_its_own_recipe():
    own = load_recipe("L2-c")
    found = retraining_recipe(card_of("L2-c"), published_lens(("universal",)))
    assert found.augmentation == own.augmentation
    assert found.augmentation.crop_side is None
    assert found.sampling == own.sampling
    assert found.losses == own.losses


def test_retraining_changes_length_and_rate_only():
    own = load_recipe("L2-c")
    found = own.for_retraining
    assert found.epochs == own.retraining.epochs
    assert found.schedule.learning_rate == own.schedule.learning_rate * own.retraining.rate
    changed = {"steps", "epochs", "checkpoint_every", "schedule"}
    assert found.model_dump(exclude=changed) == own.model_dump(exclude=changed)


@pytest.mark.parametrize("recipe", [None, "of an older version", "L2-c"])
def test_a_narrow_checkpoint_whose_recipe_does_not_fit_learns_on_by_that_of_its_size(recipe: str | None):
    found = retraining_recipe(card_of(recipe), narrow_lens(EXPERTS))
    assert found.name == "phantom-demo"


def test_a_published_network_is_never_taught_by_the_recipe_of_a_narrow_one():
    found = retraining_recipe(card_of("phantom-demo"), published_lens(EXPERTS))
    assert found.detector.size is DetectorSize.PUBLISHED
    assert found.augmentation.crop_side is None


def test_only_what_knows_more_than_the_project_is_averaged_with_its_parent():
    def share(**origin: str) -> float:
        card = CheckpointCard(trained_on=TrainedOn.PHANTOMS, recipe="phantom-demo", **origin)
        return retraining_recipe(card, narrow_lens(EXPERTS)).retraining.parent_share

    known = load_recipe("phantom-demo").retraining.parent_share
    assert known > 0
    assert share() == share(parent="v1", snapshot="abc") == known
    assert share(snapshot="abc") == 0


def test_averaging_with_the_parent_goes_its_share_of_the_way_back():
    model, parent = tiny_model(), tiny_model().state_dict()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    average_with(model, parent, 0.25)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), parent[name] + 0.75)


def test_averaging_keeps_whole_numbers_of_the_trained_model():
    model, parent = tiny_model(), tiny_model().state_dict()
    counts = [name for name in parent if name.endswith("num_batches_tracked")]
    assert counts
    for name in counts:
        model.state_dict()[name].fill_(7)
    average_with(model, parent, 0.5)
    assert {int(model.state_dict()[name]) for name in counts} == {7}
