"""One step of training: losses of the expert whose data set was sampled, on features that all experts share.

Proposals of all experts are pooled, as at inference, but without gradient: only the expert of the batch and the shared
layers learn from it (spec 4.2).
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.box_coder import encode_boxes
from lens_training import losses
from lens_training.batches import Batch
from lens_training.errors import TrainingError
from lens_training.recipe import Recipe
from lens_training.targets import CentreTargets, RegionSampling, RegionTargets, centre_targets, sample_regions

_REGION_STREAM = 2


class DetectorTraining(LightningModule):
    """A detector with its losses and optimiser.

    Parameters
    ----------
    steps
        Of the whole run; decides the learning rate.
    seed
        With the step, decides which regions are sampled.
    """

    def __init__(self, model: LensDetector, recipe: Recipe, steps: int, seed: int) -> None:
        super().__init__()
        self.model = model
        self._recipe = recipe
        self._steps = steps
        self._seed = seed
        self.latest: dict[str, float] = {}

    def train(self, mode: bool = True) -> "DetectorTraining":  # signature of nn.Module
        """Switch to training, but leave the statistics of batch normalisation frozen if the recipe says so."""
        super().train(mode)
        if self._recipe.freezes_batch_norm:
            for module in self.model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def training_step(self, batch: Batch, _batch_index: int) -> torch.Tensor:
        """Return the loss of one batch.

        Raises
        ------
        TrainingError
            If the loss is not finite.
        """
        parts = self.loss_parts(batch)
        weights = self._recipe.losses
        proposal = {"centre": 1.0, "size": 0.1} | weights.proposal
        loss = (
            proposal["centre"] * parts["centre"]
            + proposal["size"] * parts["size"]
            + weights.classes * parts["classes"]
            + weights.boxes * parts["boxes"]
        )
        self.latest = {"loss": float(loss.detach()), **{name: float(part.detach()) for name, part in parts.items()}}
        if not np.isfinite(self.latest["loss"]):
            raise TrainingError(
                f"The loss of step {batch.step} is {self.latest}",
                "Finite numbers are needed",
                "Lower the learning rate of the recipe, or look for broken scans in the data set",
            )
        return loss

    def loss_parts(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the four losses of a batch, unweighted: `centre`, `size`, `classes`, `boxes`."""
        features = self.model.forward_features(batch.images)
        logits, distances = self.model.proposers[batch.expert](features)
        height, width = features.shape[2:]
        targets = [centre_targets(labels, height, width) for labels in batch.labels]
        labels = self._stacked(targets, "labels")
        regions = self._sampled_regions(features, batch)
        shared = self.model.head_features(features, [self._tensor(r.boxes) for r in regions])
        boxes = self._tensor(np.concatenate([region.boxes for region in regions]))
        lesions = self._tensor(np.concatenate([region.lesions for region in regions]))
        is_lesion = torch.from_numpy(np.concatenate([region.is_lesion for region in regions])).to(self.device)
        return {
            "centre": losses.centre_loss(logits[:, 0], labels),
            "size": losses.size_loss(distances, self._stacked(targets, "distances"), labels),
            "classes": losses.class_loss(self.model.classifiers[batch.expert](shared), is_lesion),
            "boxes": losses.box_loss(
                self.model.regressors[batch.expert](shared), encode_boxes(lesions, boxes), is_lesion
            ),
        }

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """RAdam; biases and normalisation without decay and at twice the rate, as MULAN does (spec 8)."""
        schedule = self._recipe.schedule
        weights = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        optimiser = torch.optim.RAdam(
            [
                {"params": weights, "lr": schedule.learning_rate, "weight_decay": schedule.weight_decay},
                {"params": others, "lr": 2 * schedule.learning_rate, "weight_decay": 0.0},
            ]
        )
        rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: schedule.factor(step, self._steps))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move the images; labels stay on the CPU."""
        del dataloader_idx
        return batch.to(device)

    def _sampled_regions(self, features: torch.Tensor, batch: Batch) -> list[RegionTargets]:
        generator = np.random.default_rng([self._seed, batch.step, _REGION_STREAM])
        sampling = RegionSampling(self._recipe.sampling.regions, self._recipe.sampling.lesion_region_share)
        limits = self.model.train_limits
        if self._recipe.sampling.proposals is not None:
            limits = replace(limits, post_nms=self._recipe.sampling.proposals)
        proposals = self.model.proposals(features.detach(), batch.sizes, limits)
        return [
            sample_regions(found.boxes.cpu().double().numpy(), labels, sampling, generator)
            for found, labels in zip(proposals, batch.labels, strict=True)
        ]

    def _stacked(self, targets: Iterable[CentreTargets], name: str) -> torch.Tensor:
        return torch.stack([getattr(target, name) for target in targets]).to(self.device)

    def _tensor(self, boxes: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(boxes).to(self.device, torch.float32)
