import pytest
import torch
from pydantic import ValidationError
from torch import nn

from lens_training.recipes.files import load_recipe
from lens_training.recipes.lesion_embedding import EmbeddingRecipe
from lens_training.running.optimiser import parameter_groups, radam, sgd
from lens_training.running.schedule import ScheduleRecipe

SCHEDULE = ScheduleRecipe(learning_rate=0.1, weight_decay=0.5)


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def rates_and_decays(schedule: ScheduleRecipe) -> dict[str, tuple[float, float]]:
    model = network()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in parameter_groups(model, schedule)
        for parameter in group["params"]
    }


def test_only_biases_have_twice_the_rate_and_no_decay_as_in_mulan():
    assert rates_and_decays(SCHEDULE) == {
        **dict.fromkeys(["0.weight", "1.weight", "3.weight"], (0.1, 0.5)),
        **dict.fromkeys(["0.bias", "1.bias", "3.bias"], (0.2, 0.0)),
    }


def test_a_recipe_says_what_the_weights_of_normalisation_have():
    own = SCHEDULE.model_copy(update={"decays_normalisation": False, "normalisation_rate": 2.0})
    changed = {name for name, value in rates_and_decays(own).items() if value != rates_and_decays(SCHEDULE)[name]}
    assert changed == {"1.weight"}
    assert rates_and_decays(own)["1.weight"] == (0.2, 0.0)


@pytest.mark.parametrize("name", ["L2-c", "M1-1"])
def test_published_recipes_decay_as_mulan_does(name: str):
    schedule = load_recipe(name).schedule
    assert (schedule.decays_normalisation, schedule.normalisation_rate, schedule.decouples_decay) == (True, 1.0, False)


def test_the_model_that_ships_keeps_the_optimiser_it_was_trained_with():
    schedule = load_recipe("phantom-demo").schedule
    assert (schedule.decays_normalisation, schedule.normalisation_rate, schedule.decouples_decay) == (False, 2.0, False)


def test_decoupled_decay_takes_its_share_of_a_weight_whatever_the_gradient_is():
    shrunk = {}
    for decouples in (False, True):
        layer = nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            layer.weight.fill_(1.0)
        schedule = SCHEDULE.model_copy(update={"decouples_decay": decouples})
        optimiser = radam(layer, schedule, steps=10)["optimizer"]
        layer.weight.grad = torch.zeros_like(layer.weight)
        optimiser.step()
        shrunk[decouples] = 1 - float(layer.weight.detach())
    assert shrunk[True] == pytest.approx(0.1 * 0.5)
    layer = nn.Linear(1, 1, bias=False)
    assert sgd(layer, SCHEDULE, 10, momentum=0.9)["optimizer"].param_groups[0]["momentum"] == 0.9


def test_the_embedding_has_no_decoupled_decay():
    schedule = SCHEDULE.model_copy(update={"decouples_decay": True})
    with pytest.raises(ValidationError, match="only RAdam"):
        EmbeddingRecipe(name="mine", schedule=schedule)
