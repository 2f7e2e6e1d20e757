"""The anchor-free proposal network of one expert (spec 4.1).

Cell (u, v) of the feature map stands for the image point `(4u + 2, 4v + 2)`. The network says how likely a lesion is
centred there, and how far its four sides are away, in cells.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lens_engine.detector.backbone import STRIDE

PRIOR = 0.01
"""Probability of a lesion at any cell before training."""


class AnchorFreeProposals(nn.Module):
    """Two branches of 3x3 convolution, ReLU, 1x1 convolution: centerness and sizes."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.centerness = _branch(channels, width, 1)
        self.sizes = _branch(channels, width, 4)
        last = self.centerness[2]
        if isinstance(last, nn.Conv2d) and last.bias is not None:
            nn.init.constant_(last.bias, -math.log((1 - PRIOR) / PRIOR))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return centerness logits (b, 1, h, w) and sizes (b, 4, h, w): top, bottom, left, right in cells."""
        return self.centerness(features), self.sizes(features)

    def sizes_at(self, features: Tensor, cells: Tensor) -> Tensor:
        """Return the sizes (n, 4) at some cells of one map only; equal to `forward` there.

        Parameters
        ----------
        features
            (channels, h, w).
        cells
            int64 (n,), row-major indices `v * w + u`.
        """
        channels, _, width = features.shape
        first, _, last = self.sizes
        if not isinstance(first, nn.Conv2d) or not isinstance(last, nn.Conv2d):
            raise TypeError("The size branch must be a convolution, an activation and a convolution.")
        table = functional.pad(features, (1, 1, 1, 1)).flatten(1).T  # a border of zeros, as the convolution sees it
        corner = torch.div(cells, width, rounding_mode="floor") * (width + 2) + cells % width
        steps = torch.arange(3, device=cells.device)
        around = (steps[:, None] * (width + 2) + steps[None, :]).flatten()
        patches = table[corner[:, None] + around[None, :]].reshape(len(cells), 9 * channels)
        kernel = first.weight.permute(0, 2, 3, 1).flatten(1)
        hidden = functional.relu(functional.linear(patches, kernel, first.bias))
        return functional.linear(hidden, last.weight.flatten(1), last.bias)


def decode_cells(cells: Tensor, sizes: Tensor, map_width: int) -> Tensor:
    """Return boxes (n, 4) in image pixels from cells (n,) of a map and their sizes (n, 4); sizes below 0 count as 0."""
    x = (cells % map_width) * STRIDE + STRIDE / 2
    y = torch.div(cells, map_width, rounding_mode="floor") * STRIDE + STRIDE / 2
    top, bottom, left, right = (sizes.clamp(min=0) * STRIDE).unbind(dim=1)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=1)


def _branch(channels: int, width: int, outputs: int) -> nn.Sequential:
    first = nn.Conv2d(channels, width, 3, padding=1)
    last = nn.Conv2d(width, outputs, 1)
    for convolution in (first, last):
        nn.init.normal_(convolution.weight, std=0.01)
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
    return nn.Sequential(first, nn.ReLU(inplace=True), last)
