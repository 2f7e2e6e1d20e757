import pytest
from support.training.training_scenes import RECIPE

from lens_engine.errors import ConfigError
from lens_training.recipes.files import load_recipe


def test_the_published_rate_falls_after_the_fourth_and_the_sixth_of_eight_epochs():
    recipe, batches = load_recipe("L2-a"), 125
    steps = recipe.steps_in(batches)
    assert steps == 8 * batches
    factors = [recipe.schedule.factor(step, steps) for step in range(steps)]
    by_epoch = [set(factors[epoch * batches : (epoch + 1) * batches]) for epoch in range(8)]
    assert [len(found) for found in by_epoch] == [1] * 8
    assert [found.pop() for found in by_epoch] == pytest.approx([1.0] * 4 + [0.1] * 2 + [0.01] * 2)


def test_several_processes_share_the_batches_of_an_epoch():
    assert RECIPE.with_length(epochs=8).steps_in(batches_per_epoch=125, processes=4) == 250
    assert RECIPE.with_length(epochs=3).steps_in(batches_per_epoch=5, processes=2) == 8  # the last step wraps around
    assert RECIPE.with_length(steps=40).steps_in(batches_per_epoch=5, processes=2) == 40


@pytest.mark.parametrize("lengths", [{"steps": None, "epochs": None}, {"steps": 5, "epochs": 5}])
def test_a_recipe_has_steps_or_epochs_and_never_both(lengths: dict[str, int | None]):
    with pytest.raises(ValueError, match="exactly one of them is needed"):
        RECIPE.model_validate(RECIPE.model_dump() | lengths)


def test_steps_and_epochs_cannot_both_be_asked_for():
    with pytest.raises(ConfigError, match="5 steps and as 2 epochs"):
        RECIPE.with_length(steps=5, epochs=2)


def test_how_fast_and_how_loud_a_run_is_does_not_decide_its_weights():
    loud = {"workers": 4, "tensorboard": True, "log_every": 7, "checkpoint_every": 9}
    assert RECIPE.with_options(loud).deciding_fields == RECIPE.deciding_fields
    assert RECIPE.with_length(steps=5).deciding_fields != RECIPE.deciding_fields
    larger = RECIPE.sampling.model_copy(update={"cache_gib": 9.0})
    assert RECIPE.with_options({"sampling": larger}).deciding_fields == RECIPE.deciding_fields
