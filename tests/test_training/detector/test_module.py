import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from support.training.training_scenes import (
    BALLS,
    EXPERTS,
    RECIPE,
    TINY,
    Ball,
    cache_of,
    case_of,
    lesion_of,
    set_of,
    tiny_model,
    volume_with,
)

from lens_engine.boxes import overlaps
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.config import AnchorConfig, ProposalKind
from lens_engine.detector.inference.reference import detect_on_slice
from lens_engine.errors import ConfigError
from lens_engine.snapshot import Lesion, LesionOrigin, LesionRole
from lens_training.datasets.labels import SliceLabels
from lens_training.detector.batches import Batch, BatchMaker
from lens_training.detector.module import DetectorTraining
from lens_training.detector.sampling import BatchPlan
from lens_training.errors import TrainingError
from lens_training.recipes.recipe import AugmentationRecipe, LossRecipe, Recipe

every_assembly = pytest.mark.parametrize(("kind", "stages"), list(product(ProposalKind, (1, 2))))


def batches(recipe: Recipe = RECIPE, dataset: str = "lung", count: int = 1, seed: int = 0) -> list[Batch]:
    training_set = set_of(*(case_of(dataset, lesion_of(ball), volume=volume_with(ball)) for ball in BALLS.values()))
    plan = BatchPlan(training_set, recipe.sampling, seed)
    maker = BatchMaker(training_set, cache_of(training_set), plan, TINY, recipe.augmentation, seed)
    return [maker.batch(step) for step in range(count)]


def model_of(kind: ProposalKind, stages: int, experts: tuple[str, ...] = EXPERTS) -> LensDetector:
    proposal = TINY.proposal.model_copy(update={"kind": kind, "anchors": AnchorConfig(sizes=(8.0, 12.0, 20.0))})
    head = TINY.head if stages == 2 else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LensDetector(TINY.model_copy(update={"proposal": proposal, "head": head, "experts": experts}))


def training_of(model: LensDetector, recipe: Recipe = RECIPE) -> DetectorTraining:
    return DetectorTraining(model, recipe, recipe.steps, seed=0).train()


@every_assembly
@pytest.mark.parametrize("expert", EXPERTS)
def test_only_the_expert_of_the_sampled_data_set_gets_a_gradient_besides_shared_layers(
    kind: ProposalKind, stages: int, expert: str
):
    training = training_of(model_of(kind, stages))
    training.training_step(batches(dataset=expert)[0], 0).backward()
    own = EXPERTS.index(expert)
    for name, parameter in training.model.named_parameters():
        part, number, *_ = name.split(".")
        is_foreign = part in {"proposers", "classifiers", "regressors"} and int(number) != own
        assert (parameter.grad is None) == is_foreign, name


REJECTED = Ball(50, 14, 5, 12)
DECISION = LesionOrigin.DECISION


def batch_with_rejection(dataset: str, experts: tuple[str, ...] | None) -> Batch:
    """Return one image of a data set, with a lesion and a rejected place that is certain for some experts or all."""
    rejected = lesion_of(REJECTED, LesionRole.NEGATIVE, origin=DECISION, experts=experts)
    return batch_with(dataset, lesion_of(BALLS["a"]), rejected)


def batch_with(dataset: str, lesion: Lesion, decided: Lesion) -> Batch:
    """Return one image of a data set with a lesion and with what was decided about a place."""
    case = case_of(dataset, lesion, decided, volume=volume_with(BALLS["a"], REJECTED))
    still = AugmentationRecipe(scale=(1.0, 1.0), shift=0, varies_depth=False)
    sampling = RECIPE.sampling.model_copy(update={"batch_size": 1, "negatives_per_positive": 0.0})
    training_set = set_of(case)
    plan = BatchPlan(training_set, sampling, 0)
    maker = BatchMaker(training_set, cache_of(training_set), plan, TINY, still, 0)
    return next(batch for batch in map(maker.batch, range(20)) if len(batch.labels[0].lesions) and both_on(batch))


def both_on(batch: Batch) -> bool:
    """Whether the decided place of whichever expert is on the slice, too."""
    own = batch.labels[0]
    return len(own.lesions) + len(own.rejected) > 1 or len(batch.labels_elsewhere) > 0


@every_assembly
@pytest.mark.parametrize("dataset", EXPERTS)
def test_a_rejected_place_lowers_the_scores_of_every_expert_there_whatever_the_data_set(
    kind: ProposalKind, stages: int, dataset: str
):
    training, batch = training_of(model_of(kind, stages)), batch_with_rejection(dataset, None)
    (other,) = set(range(len(EXPERTS))) - {EXPERTS.index(dataset)}
    scores, *others = maps_after_backward(training, batch, other)
    place = decided_cells()
    gradient = scores.grad.flatten(0, -3)
    assert (gradient[:, ~place] == 0).all()
    assert (gradient[:, place] >= 0).all()
    assert (gradient[:, place] > 0).any()
    assert all(output.grad is None or not output.grad.any() for output in others)
    if stages == 2:
        background, lesion = training.model.classifiers[other].bias.grad
        assert lesion > 0
        assert float(background) == pytest.approx(-float(lesion), rel=1e-4)
        assert training.model.regressors[other].weight.grad is None


ACCEPTED = ("universal", "lung")
MORE_EXPERTS = (*EXPERTS, "liver")


def batch_with_accepted(experts: tuple[str, ...] = ACCEPTED) -> Batch:
    """Return one image of the universal data set, with an annotated lesion and one that a reader decided."""
    return batch_with("universal", lesion_of(BALLS["a"]), lesion_of(REJECTED, origin=DECISION, experts=experts))


@every_assembly
def test_a_lesion_of_its_type_raises_the_scores_of_an_expert_there_in_a_batch_of_another_data_set(
    kind: ProposalKind, stages: int
):
    training, batch = training_of(model_of(kind, stages)), batch_with_accepted()
    scores, *others = maps_after_backward(training, batch, EXPERTS.index("lung"))
    place = decided_cells()
    gradient = scores.grad.flatten(0, -3)
    assert (gradient[:, ~place] == 0).all()
    assert (gradient[:, place] <= 0).all()
    assert (gradient[:, place] < 0).any()
    for output in others:  # the network's boxes there, and nowhere else
        gradient = output.grad.flatten(0, -3)
        assert (gradient[:, ~place] == 0).all()
        assert (gradient[:, place] != 0).any()
    if stages == 2:
        background, lesion = training.model.classifiers[1].bias.grad
        assert lesion < 0
        assert float(background) == pytest.approx(-float(lesion), rel=1e-4)
        assert training.model.regressors[1].weight.grad.any()


@every_assembly
def test_one_step_makes_an_expert_surer_of_a_lesion_of_its_type_in_a_batch_of_another_data_set(
    kind: ProposalKind, stages: int
):
    """Only what belongs to that expert alone takes the step, so that nothing but the lesion can be the cause."""
    training, batch = training_of(model_of(kind, stages)), batch_with_accepted()
    parts = (training.model.proposers, training.model.classifiers, training.model.regressors)[: 2 * stages - 1]
    own = [parameter for part in parts for parameter in part[1].parameters()]
    told = maps_after_backward(training, batch, 1)[0].grad < 0

    def scores() -> list[float]:
        with torch.no_grad():
            features = training.model.forward_features(batch.images)
            found = [float(training.model.proposers[1](features)[0][told].mean())]
            if stages == 2:
                shared = training.model.head_features(features, [torch.tensor([[44.0, 8.0, 56.0, 20.0]])])
                found.append(float(training.model.expert_scores(shared)[0, 1]))
        return found

    before = scores()
    torch.optim.SGD(own, lr=1e-3).step()
    assert all(later > earlier for earlier, later in zip(before, scores(), strict=True))


@every_assembly
@pytest.mark.parametrize("experts", [ACCEPTED, ("universal",)], ids=["type said", "silence"])
def test_a_lesion_teaches_no_expert_whose_scope_does_not_cover_it(
    kind: ProposalKind, stages: int, experts: tuple[str, ...]
):
    training = training_of(model_of(kind, stages, MORE_EXPERTS))
    training.training_step(batch_with_accepted(experts), 0).backward()
    for part in ("proposers", "classifiers", "regressors"):
        for name, layer in zip(MORE_EXPERTS, getattr(training.model, part), strict=False):
            has_learnt = {parameter.grad is not None for parameter in layer.parameters()}
            assert has_learnt == {name in experts}


@every_assembly
def test_what_another_expert_learns_of_a_lesion_changes_nothing_for_the_learning_one(kind: ProposalKind, stages: int):
    gradients = []
    for experts in (("universal",), ACCEPTED):
        training = training_of(model_of(kind, stages))
        training.training_step(batch_with_accepted(experts), 0).backward()
        layers = [training.model.proposers[0], *training.model.classifiers[:1], *training.model.regressors[:1]]
        gradients.append([parameter.grad for layer in layers for parameter in layer.parameters()])
    for alone, together in zip(*gradients, strict=True):
        torch.testing.assert_close(together, alone)


@every_assembly
def test_a_lesion_that_is_not_of_its_type_is_no_background_of_a_single_type_expert(kind: ProposalKind, stages: int):
    """A reader found it in a scan of the lung data set and said no type: lung learns nothing there, universal does."""
    decided = lesion_of(REJECTED, origin=DECISION, experts=("universal",))
    training, batch = training_of(model_of(kind, stages)), batch_with("lung", lesion_of(BALLS["a"]), decided)
    place = decided_cells()
    scores, *_ = maps_after_backward(training, batch, EXPERTS.index("lung"))
    assert (scores.grad.flatten(0, -3)[:, place] == 0).all()
    universal = maps_after_backward(training, batch, EXPERTS.index("universal"))[0].grad.flatten(0, -3)
    assert (universal[:, place] < 0).any()
    assert (universal[:, ~place] == 0).all()


def decided_cells() -> np.ndarray:
    """Return the cells of the decided place, (h, w)."""
    box = np.array([44, 8, 56, 20]) / 4
    place = np.zeros((16, 16), dtype=bool)
    place[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = True
    return place


def maps_after_backward(training: DetectorTraining, batch: Batch, expert: int) -> list[torch.Tensor]:
    """Take a step and return the maps of an expert's proposal network, scores first, each with its gradient."""
    maps: list[torch.Tensor] = []

    def keep(_module: torch.nn.Module, _inputs: object, outputs: tuple[torch.Tensor, ...]) -> None:
        if not maps:  # proposals are asked for afterwards, without gradient
            for output in outputs:
                output.retain_grad()
            maps.extend(outputs)

    handle = training.model.proposers[expert].register_forward_hook(keep)
    training.training_step(batch, 0).backward()
    handle.remove()
    return maps


@every_assembly
def test_a_place_rejected_for_the_learning_expert_alone_teaches_no_other(kind: ProposalKind, stages: int):
    training = training_of(model_of(kind, stages))
    training.training_step(batch_with_rejection("lung", ("lung",)), 0).backward()
    foreign = [getattr(training.model, part) for part in ("proposers", "classifiers", "regressors")]
    parameters = [parameter for part in foreign for layer in part[:1] for parameter in layer.parameters()]
    assert all(parameter.grad is None for parameter in parameters)


@every_assembly
def test_what_other_experts_learn_of_a_rejected_place_changes_nothing_for_the_learning_one(
    kind: ProposalKind, stages: int
):
    gradients = []
    for experts in (("lung",), None):
        training = training_of(model_of(kind, stages))
        training.training_step(batch_with_rejection("lung", experts), 0).backward()
        layers = [training.model.proposers[1], *training.model.classifiers[1:], *training.model.regressors[1:]]
        gradients.append([parameter.grad for layer in layers for parameter in layer.parameters()])
    for alone, together in zip(*gradients, strict=True):
        torch.testing.assert_close(together, alone)


def test_a_rejected_place_is_forgotten_by_the_expert_of_another_data_set():
    """The lung expert learns only from what was rejected in scans of the universal data set."""
    training, batch = training_of(tiny_model()), batch_with_rejection("universal", None)
    place = torch.tensor([[44.0, 8.0, 56.0, 20.0]])

    def score() -> float:
        with torch.no_grad():
            features = training.model.forward_features(batch.images)
            return float(training.model.expert_scores(training.model.head_features(features, [place]))[0, 1])

    optimiser = torch.optim.Adam(training.parameters(), lr=2e-3)
    before = score()
    for _ in range(60):
        optimiser.zero_grad()
        training.training_step(batch, 0).backward()
        optimiser.step()
    assert score() < before / 2


@every_assembly
def test_the_loss_sums_the_parts_of_the_proposal_network_and_of_the_head(kind: ProposalKind, stages: int):
    training = training_of(model_of(kind, stages))
    loss = training.training_step(batches()[0], 0)
    parts = {name: value for name, value in training.latest.items() if name != "loss"}
    published = {
        ProposalKind.AFP: {"centre": 1.0, "size": 0.1},
        ProposalKind.RPN: {"objectness": 1.0, "anchor_boxes": 1.0},
        ProposalKind.FCOS: {"cells": 1.0, "sides": 1.0, "centerness": 1.0},
        ProposalKind.CENTERNET: {"heat": 1.0, "size": 0.1, "offset": 1.0},
    }[kind] | ({"classes": 1.0, "boxes": 10.0} if stages == 2 else {})
    assert set(parts) == set(published)
    assert float(loss) == pytest.approx(sum(published[name] * part for name, part in parts.items()), rel=1e-5)


def test_a_recipe_may_weigh_the_parts_of_the_loss_otherwise():
    losses = LossRecipe(proposal={"centre": 0.0, "size": 0.0}, classes=0.0, boxes=3.0)
    training = training_of(tiny_model(), RECIPE.model_copy(update={"losses": losses}))
    loss = training.training_step(batches()[0], 0)
    assert float(loss) == pytest.approx(3 * training.latest["boxes"])


def test_a_recipe_that_weighs_a_part_of_another_network_is_refused():
    recipe = RECIPE.model_copy(update={"losses": LossRecipe(proposal={"objectness": 2.0})})
    with pytest.raises(ConfigError, match=r"objectness in losses\.proposal.*centre, size"):
        training_of(tiny_model(), recipe)


@every_assembly
def test_mixed_precision_gives_nearly_the_same_losses(kind: ProposalKind, stages: int):
    training, batch = training_of(model_of(kind, stages)), batches()[0]
    exact = training.loss_parts(batch)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = training.loss_parts(batch)
    assert all(part.dtype == torch.float32 for part in mixed.values())
    for name in exact:  # other proposals win by a hair, and other regions are sampled
        tolerance = {"rel": 0.05, "abs": 0.02} if name in {"classes", "boxes"} else {"rel": 0.01}
        assert float(mixed[name]) == pytest.approx(float(exact[name]), **tolerance), name


def test_a_new_network_begins_with_the_losses_that_its_priors_imply():
    """One positive cell in an image at a probability of 0.01, and heads that cannot tell."""
    training = training_of(tiny_model())
    parts = training.loss_parts(batches()[0])
    assert float(parts["centre"]) == pytest.approx(0.5 * 0.99**2 * math.log(100), rel=0.05)
    assert float(parts["classes"]) == pytest.approx(math.log(2), rel=0.05)


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


@pytest.mark.parametrize(("stages", "part"), [(1, "sides"), (2, "classes")])
def test_a_loss_that_is_not_finite_stops_with_its_step_data_set_and_values(stages: int, part: str):
    model = model_of(ProposalKind.FCOS, stages)
    broken = model.proposers[1].sides.last.bias if stages == 1 else model.classifiers[1].bias
    with torch.no_grad():
        broken.fill_(math.nan)
    with pytest.raises(TrainingError, match=rf"loss of batch 0 on data set lung is .*'{part}': nan"):
        training_of(model).training_step(batches()[0], 0)


def test_the_same_step_gives_the_same_loss_twice():
    losses = [float(training_of(tiny_model()).training_step(batches()[0], 0)) for _ in range(2)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("kind", "stages"),
    [*((kind, 2) for kind in ProposalKind), (ProposalKind.FCOS, 1)],
    ids=lambda value: str(value),
)
def test_a_tiny_network_finds_the_lesions_of_four_slices_that_it_learns_by_heart(kind: ProposalKind, stages: int):
    sampling = RECIPE.sampling.model_copy(update={"batch_size": 4, "negatives_per_positive": 0.0, "regions": 32})
    augmentation = RECIPE.augmentation.model_copy(update={"scale": (1.0, 1.0), "shift": 0, "varies_depth": False})
    recipe = RECIPE.model_copy(update={"sampling": sampling, "augmentation": augmentation})
    batch = batches(recipe)[0]
    training = training_of(model_of(kind, stages), recipe)
    optimiser = torch.optim.Adam(training.parameters(), lr=8e-3)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / 120)
    for _ in range(120):
        optimiser.zero_grad()
        training.training_step(batch, 0).backward()
        optimiser.step()
        rate.step()
    training.eval()
    for image, size, labels in zip(batch.images, batch.sizes, batch.labels, strict=True):
        found = detect_on_slice(training.model, image, size)
        best = found.experts[batch.expert].boxes[:1].double().numpy()
        assert overlaps(best, labels.lesions).max() >= 0.5


@every_assembly
def test_a_lesion_without_trusted_edges_teaches_the_class_in_the_head_and_nothing_else(kind: ProposalKind, stages: int):
    (batch,) = batches(dataset="universal")
    places = [labels.lesions for labels in batch.labels]
    parts = {
        role: training_of(model_of(kind, stages)).loss_parts(
            replace(batch, labels=tuple(SliceLabels(**{role: boxes}) for boxes in places))
        )
        for role in ("class_only", "unsure")
    }
    of_head = {"classes", "boxes"}
    for name in parts["unsure"].keys() - of_head:
        assert parts["class_only"][name] == parts["unsure"][name], name
    if stages == 2:
        assert parts["class_only"]["boxes"] == 0
        assert parts["class_only"]["classes"] != parts["unsure"]["classes"]
