"""VGG with features of five scales, an embedding of length 1, and a classifier of terms (algorithms 5.8)."""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lens_engine.detector.false_positive_reduction.pooling import roi_max_pool
from lens_engine.lesion_embedding.config import STAGES, EmbeddingConfig

SLICES = 3
"""Slices of a patch, as the channels of its image."""
LESION_STAGES = 3
"""The first stages are pooled under the box of the lesion, the others under the whole patch."""

_RANGE = 255.0
"""Patches come as intensities; the published network sees them divided by their range."""


class Look(NamedTuple):
    """What the network says about lesions.

    Attributes
    ----------
    embedding
        (n, width), each row of length 1.
    scores
        (n, terms) logits of the terms.
    propagated
        (n, terms) logits after each term has seen the scores of all others.
    """

    embedding: Tensor
    scores: Tensor
    propagated: Tensor


class EmbeddingNetwork(nn.Module):
    """Says what a lesion looks like, and where in the body it is."""

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.config = config
        channels = (SLICES, *config.widths)
        self.stages = nn.ModuleList(
            _stage(before, after, count)
            for (before, after), count in zip(pairwise(channels), config.convolutions, strict=True)
        )
        self.scales = nn.ModuleList(nn.Linear(width * config.pooled**2, config.scale_width) for width in config.widths)
        self.embedding = nn.Linear(STAGES * config.scale_width, config.width)
        self.classifier = nn.Linear(STAGES * config.scale_width, config.terms)
        self.propagation = nn.Linear(config.terms, config.terms)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.eye_(self.propagation.weight)  # at first no term says anything about another
        nn.init.zeros_(self.propagation.bias)

    def forward(self, patches: Tensor, boxes: Tensor) -> Look:
        """Look at lesions.

        Parameters
        ----------
        patches
            float (n, 3, patch_side, patch_side), as `LesionPatchCutter` makes them.
        boxes
            (n, 4), `[x1, y1, x2, y2]` in pixels of the patch.
        """
        features = self._features(patches, boxes)
        embedded = self.embedding(features)
        # A direction that is exactly 0 has no length; any fixed one keeps the length of 1.
        silent = embedded.norm(dim=1, keepdim=True) == 0
        scores = self.classifier(features)
        return Look(
            functional.normalize(embedded + silent.to(embedded.dtype), dim=1),
            scores,
            self.propagation(scores),
        )

    def _features(self, patches: Tensor, boxes: Tensor) -> Tensor:
        """Return the features of all scales side by side, without activation, (n, 5 scale_width)."""
        maps, features = patches / _RANGE, []
        for number, (stage, scale) in enumerate(zip(self.stages, self.scales, strict=True)):
            maps = stage(functional.max_pool2d(maps, 2) if number else maps)
            features.append(scale(self._pooled(maps, boxes, number).flatten(1)))
        return torch.cat(features, dim=1)

    def _pooled(self, maps: Tensor, boxes: Tensor, stage: int) -> Tensor:
        bins = self.config.pooled
        if stage >= LESION_STAGES:
            return functional.adaptive_max_pool2d(maps, bins)
        x1, y1, x2, y2 = (boxes / 2**stage).unbind(dim=1)
        flat = torch.stack([x1, y1, torch.zeros_like(x1), x2, y2, torch.ones_like(x1)], dim=1)
        return roi_max_pool(maps[:, :, None], flat, (1, bins, bins))


def _stage(channels: int, out_channels: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(count):
        layers += [
            nn.Conv2d(out_channels if number else channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
