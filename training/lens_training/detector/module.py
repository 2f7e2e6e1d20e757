"""One step of training: losses of the expert whose data set was sampled, on features that all experts share.

Proposals of all experts are pooled, as at inference, but without gradient: only the expert of the batch and the shared
layers learn from it (algorithms 4.2). What a reader rejected is no lesion in any data set, and what he accepted is one
for every expert whose scope covers it: there, and nowhere else, the other experts learn from the batch as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
import torch
from torch import Tensor, nn

from lens_engine.detector.assembly import LensDetector
from lens_engine.errors import ConfigError
from lens_training.datasets.labels import BoxArray
from lens_training.detector.batches import Batch
from lens_training.detector.objectives.base import full_precision
from lens_training.detector.objectives.build import proposal_objective
from lens_training.detector.objectives.head import (
    RegionSampling,
    RegionTargets,
    certain_regions,
    region_box_loss,
    region_class_loss,
    sample_regions,
    together,
)
from lens_training.errors import TrainingError
from lens_training.recipes.recipe import LossRecipe, Recipe
from lens_training.running.processes.joint import JointTraining

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
    skips_layers = True  # those of the experts that do not learn

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
        own = [labels.for_proposals for labels in batch.labels]
        parts = self._objective.losses(outputs, own, batch.sizes, generator)
        for other, known in batch.labels_elsewhere.items():
            labels = [image.for_proposals for image in known]
            images = [number for number, image in enumerate(labels) if image.is_certain_somewhere]
            outputs = self.model.proposers[other](features[images])
            added = self._objective.certain_losses(outputs, images, labels, batch.sizes, generator)
            parts |= {name: parts[name] + part for name, part in added.items()}
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
            "End what else uses the GPU, or train by a recipe with smaller batches or in precision bf16-mixed",
        )

    def _head_parts(self, features: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        regions = self._regions_by_expert(self._proposals(features, batch), batch)
        shared = self._shared_by_expert(features, regions)
        count = max(len(shared[batch.expert]), 1)
        classes, boxes = [], []
        for expert, own in shared.items():
            targets, share = together(regions[expert]), len(own) / count
            classes.append(share * region_class_loss(self.model.classifiers[expert](own), targets))
            if expert == batch.expert or targets.is_lesion.any():
                boxes.append(share * region_box_loss(self.model.regressors[expert](own), targets))
        return {"classes": reduce(torch.add, classes), "boxes": reduce(torch.add, boxes)}

    def _proposals(self, features: torch.Tensor, batch: Batch) -> list[BoxArray]:
        """Return the proposals of each image, (p, 4) in its pixels."""
        limits = self.model.train_limits
        if self._recipe.sampling.proposals is not None:
            limits = replace(limits, post_nms=self._recipe.sampling.proposals)
        proposals = self.model.proposals(features.detach(), batch.sizes, limits)
        return [found.boxes.cpu().double().numpy() for found in proposals]

    def _regions_by_expert(self, proposals: Sequence[BoxArray], batch: Batch) -> dict[int, tuple[RegionTargets, ...]]:
        """Return the regions of each image that the expert of the batch learns from, and those that others do."""
        generator = np.random.default_rng([self._seed, batch.number, _REGION_STREAM])
        sampling = RegionSampling(self._recipe.sampling.regions, self._recipe.sampling.lesion_region_share)
        choose = {batch.expert: sample_regions} | dict.fromkeys(batch.labels_elsewhere, certain_regions)
        return {
            expert: tuple(
                chosen(found, labels, sampling, generator)
                for found, labels in zip(proposals, batch.labels_of(expert), strict=True)
            )
            for expert, chosen in choose.items()
        }

    def _shared_by_expert(
        self, features: torch.Tensor, regions: Mapping[int, Sequence[RegionTargets]]
    ) -> dict[int, torch.Tensor]:
        """Return the head's features of the regions of each expert, all of one image after another, made in one go."""
        by_image = list(zip(*([region.boxes for region in own] for own in regions.values()), strict=True))
        every = [torch.from_numpy(np.concatenate(own)).to(features.device, torch.float32) for own in by_image]
        # ROIAlign counts places in the numbers of its features: in 16 bits a box would move by up to a pixel.
        shared = self.model.head_features(full_precision(features), every)
        lengths = [len(part) for own in by_image for part in own]
        parts = torch.split(shared, lengths)
        return {expert: torch.cat(parts[number :: len(regions)]) for number, expert in enumerate(regions)}


def _weights(published: Mapping[str, float], losses: LossRecipe) -> dict[str, float]:
    unknown = set(losses.proposal) - set(published)
    if unknown:
        raise ConfigError(
            f"The recipe weighs {', '.join(sorted(unknown))} in losses.proposal",
            f"The loss of this proposal network has {', '.join(published)}",
            "Correct the recipe",
        )
    return {**published, **losses.proposal, "classes": losses.classes, "boxes": losses.boxes}
