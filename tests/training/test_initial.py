from pathlib import Path

import torch

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn
from lens_engine.detector.checkpoint import save_checkpoint
from lens_training.initial import model_from_checkpoint, new_model, with_more_experts
from lens_training.recipe import DetectorRecipe, Recipe
from lens_training.schedule import ScheduleRecipe
from training.scenes import EXPERTS, tiny_model


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


def test_the_learning_rate_drops_after_four_and_six_of_eight_epochs():
    schedule = ScheduleRecipe(learning_rate=1e-4)
    assert [round(schedule.factor(step, 8), 6) for step in range(8)] == [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]


def test_the_learning_rate_rises_over_the_first_steps():
    recipe = Recipe(name="x", steps=10, schedule=ScheduleRecipe(learning_rate=1, warmup_steps=3))
    assert [recipe.schedule.factor(step, 10) for step in range(4)] == [0.25, 0.5, 0.75, 1]
