"""The model a run starts from: a checkpoint, or a new one; with one expert for every data set of the labels."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.detector.checkpoints.imagenet import download_imagenet, load_imagenet_file
from lens_engine.detector.config import DetectorConfig, published_lens
from lens_training.recipes.files import load_recipe, recipe_names
from lens_training.recipes.recipe import DetectorRecipe, DetectorSize, Recipe

HUB = "hub"
"""What `--weights` is called for weights from the hub of torchvision."""
RANDOM = "none"
"""What `--weights` is called for random weights."""

_EXPERT_PARTS = ("proposers", "classifiers", "regressors")

RECIPE_OF_SIZE = {DetectorSize.NARROW: "phantom-demo", DetectorSize.PUBLISHED: "L2-h"}
"""By which recipe a checkpoint learns on whose own one is not known."""

INITIAL_SIDE_CELLS = 6.0
"""Of the boxes that are proposed first: 24 network pixels."""

DEMO_PARENT_NOTICE = (
    "Started from the demo model, which was trained on synthetic phantoms only, and fine-tuned on the labels of this "
    "project. Research use only."
)
RESEARCH_NOTICE = "Research use only."


def new_model(
    experts: tuple[str, ...], detector: DetectorRecipe, seed: int, imagenet: str | Path = RANDOM
) -> LensDetector:
    """Return an untrained detector; equal seeds give equal weights.

    Its proposal networks begin with boxes of a common size instead of none, which saves a short training many steps.

    Parameters
    ----------
    imagenet
        File with the published weights of DenseNet-121 for the trunk, `HUB`, or `RANDOM`.

    Raises
    ------
    CheckpointError
        If they cannot be read or downloaded, or do not fit the trunk.
    """
    with torch.random.fork_rng(devices=[]):  # layers initialise themselves from the global generator
        torch.manual_seed(seed)
        model = LensDetector(detector.config(experts))
    for network in model.proposal_networks():
        network.start_with_sides(INITIAL_SIDE_CELLS)
    if imagenet == HUB:
        download_imagenet(model.backbone.trunk)
    elif imagenet != RANDOM:
        load_imagenet_file(model.backbone.trunk, Path(imagenet))
    return model


def trunk_digest(model: LensDetector) -> str:
    """Return a SHA-256 of the weights of the trunk."""
    content = b"".join(tensor.numpy().tobytes() for tensor in model.backbone.trunk.state_dict().values())
    return hashlib.sha256(content).hexdigest()


def model_from_checkpoint(folder: Path, experts: tuple[str, ...]) -> tuple[LensDetector, CheckpointCard]:
    """Return the model of a checkpoint, with one more expert for every data set that it does not know yet.

    A new expert starts as a copy of the first one, the universal expert. Experts without a data set here stay as they
    are and learn nothing.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be used.
    """
    model, card = load_checkpoint(folder)
    missing = tuple(name for name in experts if name not in model.config.experts)
    return (with_more_experts(model, missing) if missing else model), card


def retraining_recipe(card: CheckpointCard, config: DetectorConfig) -> Recipe:
    """Return how a checkpoint learns on: by the recipe that trained it, or by the one that trains networks of its size.

    The second is for checkpoints whose recipe has another size (the small scale of a published row), or is not known
    here. What began at random on the labels of a project, which only grow, has learnt nothing that it will not be shown
    again: it is not averaged with its parent.
    """
    size = DetectorSize.PUBLISHED if config.max_side == published_lens(("any",)).max_side else DetectorSize.NARROW
    recipe = load_recipe(card.recipe) if card.recipe in recipe_names() else None
    if recipe is None or recipe.detector.size is not size:
        recipe = load_recipe(RECIPE_OF_SIZE[size])
    if card.snapshot is not None and card.parent is None:
        recipe = recipe.model_copy(update={"retraining": recipe.retraining.model_copy(update={"parent_share": 0.0})})
    return recipe.for_retraining


def average_with(model: LensDetector, before: Mapping[str, torch.Tensor], share: float) -> None:
    """Replace the numbers of a model by the average with those that it began with, which have `share` of the weight."""
    if share == 0:
        return
    after = model.state_dict()
    model.load_state_dict(
        {
            name: torch.lerp(value, before[name].to(value), share) if value.is_floating_point() else value
            for name, value in after.items()
        }
    )


def with_more_experts(model: LensDetector, names: tuple[str, ...]) -> LensDetector:
    """Return a larger model in which the named experts are copies of the first one."""
    known = model.config.experts
    larger = LensDetector(model.config.model_copy(update={"experts": known + names}))
    state = model.state_dict()
    for part in _EXPERT_PARTS:
        first = {name: value for name, value in state.items() if name.startswith(f"{part}.0.")}
        for number in range(len(known), len(known) + len(names)):
            state.update({name.replace(f"{part}.0.", f"{part}.{number}.", 1): value for name, value in first.items()})
    larger.load_state_dict(state)
    return larger.eval()


def origin_of(parent: CheckpointCard | None) -> tuple[TrainedOn, str]:
    """Return what the card of a model may claim that was trained on a project, and its notice.

    What started from phantoms keeps saying so: a few patients of fine-tuning do not make a demo model a product.
    """
    if parent is not None and parent.is_demo:
        return TrainedOn.PHANTOMS, DEMO_PARENT_NOTICE
    return TrainedOn.PATIENTS, RESEARCH_NOTICE
