import math

import pytest
import torch

from lens_engine.detector.assembly import LensDetector
from lens_training.batches import Batch, BatchMaker
from lens_training.errors import TrainingError
from lens_training.module import DetectorTraining
from lens_training.recipe import LossRecipe, Recipe
from lens_training.sampling import BatchPlan
from training.scenes import (
    BALLS,
    EXPERTS,
    RECIPE,
    TINY,
    cache_of,
    case_of,
    lesion_of,
    set_of,
    tiny_model,
    volume_with,
)


def batches(recipe: Recipe = RECIPE, dataset: str = "lung", count: int = 1, seed: int = 0) -> list[Batch]:
    training_set = set_of(*(case_of(dataset, lesion_of(ball), volume=volume_with(ball)) for ball in BALLS.values()))
    plan = BatchPlan(training_set, recipe.sampling, seed)
    maker = BatchMaker(training_set, cache_of(training_set), plan, TINY, recipe.augmentation, seed)
    return [maker.batch(step) for step in range(count)]


def training_of(model: LensDetector, recipe: Recipe = RECIPE) -> DetectorTraining:
    return DetectorTraining(model, recipe, recipe.steps, seed=0).train()


@pytest.mark.parametrize("expert", EXPERTS)
def test_only_the_expert_of_the_sampled_data_set_gets_a_gradient_besides_shared_layers(expert: str):
    training = training_of(tiny_model())
    training.training_step(batches(dataset=expert)[0], 0).backward()
    own = EXPERTS.index(expert)
    for name, parameter in training.model.named_parameters():
        part, number, *_ = name.split(".")
        is_foreign = part in {"proposers", "classifiers", "regressors"} and int(number) != own
        assert (parameter.grad is None) == is_foreign, name


def test_a_step_leaves_foreign_experts_exactly_as_they_were():
    training = training_of(tiny_model())
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    optimiser = training.configure_optimizers()["optimizer"]
    for batch in batches(dataset="lung", count=3):
        optimiser.zero_grad()
        training.training_step(batch, 0).backward()
        optimiser.step()
    after = training.model.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert not {name for name in changed if name.startswith(("proposers.0", "classifiers.0", "regressors.0"))}
    assert any(name.startswith("backbone") for name in changed)
    assert any(name.startswith("proposers.1") for name in changed)


def test_batch_normalisation_keeps_its_statistics_where_the_recipe_freezes_them():
    for freezes in (True, False):
        training = training_of(tiny_model(), RECIPE.model_copy(update={"freezes_batch_norm": freezes}))
        statistics = {name: value.clone() for name, value in training.model.named_buffers() if "running" in name}
        training.training_step(batches()[0], 0)
        kept = all(torch.equal(value, dict(training.model.named_buffers())[name]) for name, value in statistics.items())
        assert kept is freezes


def test_a_loss_that_is_not_finite_stops_with_its_step_data_set_and_values():
    model = tiny_model()
    with torch.no_grad():
        model.head.fc6.weight.fill_(math.nan)
    with pytest.raises(TrainingError, match=r"loss of step 0 on data set lung is .*nan"):
        training_of(model).training_step(batches()[0], 0)


def test_the_same_step_gives_the_same_loss_twice():
    losses = [float(training_of(tiny_model()).training_step(batches()[0], 0)) for _ in range(2)]
    assert losses[0] == losses[1]


def test_weights_decay_but_biases_learn_twice_as_fast_without():
    weights, others = training_of(tiny_model()).configure_optimizers()["optimizer"].param_groups
    assert weights["weight_decay"] == RECIPE.schedule.weight_decay
    assert others["weight_decay"] == 0
    assert others["lr"] == 2 * weights["lr"]


def test_a_tiny_network_overfits_four_slices():
    recipe = RECIPE.model_copy(
        update={
            "sampling": RECIPE.sampling.model_copy(update={"batch_size": 4, "negatives_per_positive": 0.0}),
            "augmentation": RECIPE.augmentation.model_copy(
                update={"scale": (1.0, 1.0), "shift": 0, "varies_depth": False}
            ),
            "losses": LossRecipe(),
        }
    )
    batch = batches(recipe)[0]
    training = training_of(tiny_model(), recipe)
    optimiser = torch.optim.RAdam(training.parameters(), lr=5e-3)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = training.training_step(batch, 0)
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < 0.2 * losses[0]
    training.eval()
    with torch.no_grad():
        features = training.model.forward_features(batch.images)
    for image, labels in enumerate(batch.labels):
        scores = training.model.proposers[1](features)[0][image, 0]
        row, column = divmod(int(scores.argmax()), scores.shape[1])
        x1, y1, x2, y2 = labels.lesions[0]
        assert x1 <= column * 4 + 2 <= x2
        assert y1 <= row * 4 + 2 <= y2
