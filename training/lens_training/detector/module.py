"""One step of training: losses of the expert whose data set was sampled, on features that all experts share.

Proposals of all experts are pooled, as at inference, but without gradient: only the expert of the batch and the shared
layers learn from it (spec 4.2).
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce

import numpy as np
import torch
from torch import Tensor, nn

from lens_engine.detector.assembly import LensDetector
from lens_engine.errors import ConfigError
from lens_training.detector.batches import Batch
from lens_training.detector.objectives.base import full_precision
from lens_training.detector.objectives.build import proposal_objective
from lens_training.detector.objectives.head import RegionSampling, RegionTargets, head_losses, sample_regions
from lens_training.errors import TrainingError
from lens_training.recipes.recipe import LossRecipe, Recipe
from lens_training.running.joint import JointTraining

_REGION_STREAM = 2
_ANCHOR_STREAM = 3


class DetectorTraining(JointTraining[Batch]):
    """A detector with its losses and optimiser.

    Parameters
    ----------
    steps
        How many steps the whole run has; the learning rate follows them.
    seed
        Decides, with the number of the batch, which regions and anchors are sampled.

    Raises
    ------
    ConfigError
        If the recipe weighs a part that the proposal network's loss does not have.
    """

    samples_name = "images"

    def __init__(self, model: LensDetector, recipe: Recipe, steps: int, seed: int) -> None:
        super().__init__(recipe.schedule, recipe.precision, steps)
        self.model = model
        self._recipe = recipe
        self._seed = seed
        self._objective = proposal_objective(model.proposal_networks()[0])
        self.weights = _weights(self._objective.WEIGHTS, recipe.losses)

    def train(self, mode: bool = True) -> "DetectorTraining":  # signature of nn.Module
        """Switch to training, but leave the statistics of batch normalisation frozen if the recipe says so."""
        super().train(mode)
        if self._recipe.freezes_batch_norm:
            for module in self.model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def losses(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the weighted sum of the losses of a batch, and its parts."""
        parts = self.loss_parts(batch)
        return reduce(torch.add, [self.weights[name] * part for name, part in parts.items()]), parts

    def loss_parts(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of a batch, unweighted, by the names of `weights`."""
        features = self.model.forward_features(batch.images)
        outputs = self.model.proposers[batch.expert](features)
        generator = np.random.default_rng([self._seed, batch.number, _ANCHOR_STREAM])
        parts = self._objective.losses(outputs, batch.labels, batch.sizes, generator)
        return parts if self.model.head is None else parts | self._head_parts(features, batch)

    def samples_in(self, batch: Batch) -> int:
        """Return how many images a batch has."""
        return len(batch.sizes)

    def latest_loss_of(self, batch: Batch) -> str:
        """Return the number of the batch, its data set, and all losses."""
        return f"batch {batch.number} on data set {self.model.config.experts[batch.expert]} is {self.latest}"

    def memory_error(self) -> TrainingError:
        """Return what to say when a step does not fit into the memory of the GPU."""
        return TrainingError(
            "The memory of the GPU is too small for a training step",
            f"A batch has {self._recipe.sampling.batch_size} samples of nine slices",
            "Lower sampling.batch_size or sampling.regions of the recipe, or set precision to bf16-mixed",
        )

    def _head_parts(self, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        regions = self._sampled_regions(features, batch)
        boxes = [torch.from_numpy(region.boxes).to(features.device, torch.float32) for region in regions]
        # ROIAlign counts places in the numbers of its features: in 16 bits a box would move by up to a pixel.
        shared = self.model.head_features(full_precision(features), boxes)
        logits, deltas = self.model.classifiers[batch.expert](shared), self.model.regressors[batch.expert](shared)
        return head_losses(logits, deltas, regions)

    def _sampled_regions(self, features: Tensor, batch: Batch) -> list[RegionTargets]:
        generator = np.random.default_rng([self._seed, batch.number, _REGION_STREAM])
        sampling = RegionSampling(self._recipe.sampling.regions, self._recipe.sampling.lesion_region_share)
        limits = self.model.train_limits
        if self._recipe.sampling.proposals is not None:
            limits = replace(limits, post_nms=self._recipe.sampling.proposals)
        proposals = self.model.proposals(features.detach(), batch.sizes, limits)
        return [
            sample_regions(found.boxes.cpu().double().numpy(), labels, sampling, generator)
            for found, labels in zip(proposals, batch.labels, strict=True)
        ]


def _weights(published: Mapping[str, float], losses: LossRecipe) -> dict[str, float]:
    unknown = set(losses.proposal) - set(published)
    if unknown:
        raise ConfigError(
            f"The recipe weighs {', '.join(sorted(unknown))} in losses.proposal",
            f"The loss of this proposal network has {', '.join(published)}",
            "Correct the recipe",
        )
    return {**published, **losses.proposal, "classes": losses.classes, "boxes": losses.boxes}
