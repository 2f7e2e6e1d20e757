"""What every proposal network has in common, whatever it predicts (algorithms 4.1, 4.3, 4.3b).

Cell (u, v) of the feature map stands for the image point `(4u + 2, 4v + 2)`. A *place* is where a network can propose
one box: a cell `v * w + u`, or an anchor of a cell; in a batch, the places of an image follow those of the one before.
Scores are computed at every place, boxes only where they are kept. Both have at least single precision, whatever the
network computes in: half precision would round a position to two pixels.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lens_engine.detector.network.backbone import STRIDE

PRIOR = 0.01
"""Probability of a lesion at any place before training, where the focal loss needs a small one."""


class Scored(NamedTuple):
    """Scores of a batch.

    Attributes
    ----------
    scores
        (b, places), in [0, 1]; a place of score 0 proposes nothing.
    context
        (b, c, h, w), what `boxes_at` needs.
    """

    scores: Tensor
    context: Tensor


class ProposalNetwork(nn.Module, ABC):
    """Proposes 2D boxes of one expert on feature maps of stride 4.

    `forward` returns the raw dense maps that the losses compare; `score` and `boxes_at` the same numbers, as scores and
    boxes, and boxes only at chosen places.
    """

    @abstractmethod
    def forward(self, features: Tensor) -> Sequence[Tensor]:
        """Map features (b, channels, h, w) to the raw maps, a named tuple of (b, ..., h, w)."""

    @abstractmethod
    def score(self, features: Tensor) -> Scored:
        """Return the score of every place of features (b, channels, h, w)."""

    @abstractmethod
    def boxes_at(self, context: Tensor, places: Tensor) -> Tensor:
        """Return the boxes (n, 4) in network pixels at some places; equal to those of `forward` there.

        Parameters
        ----------
        context
            (b, c, h, w), `Scored.context` of a batch.
        places
            int64 (n,), of the batch.
        """

    @abstractmethod
    def start_with_sides(self, cells: float) -> None:
        """Let a new network propose squares with sides of so many cells, where its boxes are free to begin with."""


class BranchProposals(ProposalNetwork):
    """A network that scores by one branch; inference merges these branches of all experts."""

    @property
    @abstractmethod
    def scoring_branch(self) -> "Branch":
        """The branch that scores."""

    @abstractmethod
    def scores_of(self, outputs: Tensor) -> Tensor:
        """Return the score (b, places) of every place from outputs (b, outputs, h, w) of `scoring_branch`."""

    def score(self, features: Tensor) -> Scored:
        """Return the score of every place."""
        return Scored(self.scores_of(self.scoring_branch(features)), features)


class Branch(nn.Sequential):
    """Convolution 3x3, ReLU, convolution 1x1; computed everywhere, or at some cells only."""

    def __init__(self, channels: int, width: int, outputs: int) -> None:
        super().__init__(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(width, outputs, 1))
        for convolution in (self.first, self.last):
            nn.init.normal_(convolution.weight, std=0.01)
            nn.init.zeros_(bias_of(convolution))

    @property
    def first(self) -> nn.Conv2d:
        """The 3x3 convolution."""
        return _convolution(self[0])

    @property
    def last(self) -> nn.Conv2d:
        """The 1x1 convolution."""
        return _convolution(self[2])

    def start_at(self, *values: float) -> None:
        """Let the outputs begin at one value for all, or one for each."""
        bias = bias_of(self.last)
        with torch.no_grad():
            bias.copy_(bias.new_tensor(values).expand_as(bias))

    def at(self, features: Tensor, cells: Tensor) -> Tensor:
        """Return the outputs (n, outputs) at some cells only; equal to `forward` there.

        Parameters
        ----------
        features
            (b, channels, h, w).
        cells
            int64 (n,), indices `(image * h + v) * w + u`.
        """
        height, width = features.shape[2:]
        steps = torch.arange(-1, 2, device=cells.device)
        rows = (torch.div(cells, width, rounding_mode="floor") % height)[:, None] + steps
        columns = (cells % width)[:, None] + steps
        inside = _within(rows, height)[:, :, None] & _within(columns, width)[:, None, :]
        around = cells[:, None, None] + steps[:, None] * width + steps
        patches = functional.embedding(torch.where(inside, around, 0), cell_table(features))
        patches = patches.masked_fill(~inside[..., None], 0)  # the border of zeros that the convolution sees
        kernel = self.first.weight.permute(0, 2, 3, 1).flatten(1)
        hidden = functional.relu(functional.linear(patches.flatten(1), kernel, self.first.bias))
        weight, bias = self.last.weight.flatten(1), bias_of(self.last)
        return at_least_single(
            functional.linear(at_least_single(hidden), at_least_single(weight), at_least_single(bias))
        )


def cell_table(maps: Tensor) -> Tensor:
    """Return maps (b, c, h, w) with one row for each cell, (b * h * w, c); a view where they are channels-last."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1]).contiguous()


def at_least_single(values: Tensor) -> Tensor:
    """Return half-precision values in single precision, and others as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def cell_points(cells: Tensor, map_width: int) -> tuple[Tensor, Tensor]:
    """Return the image points x and y, each (n,), that cells (n,) of a map stand for."""
    x = (cells % map_width) * STRIDE + STRIDE / 2
    y = torch.div(cells, map_width, rounding_mode="floor") * STRIDE + STRIDE / 2
    return x, y


def boxes_around(cells: Tensor, sides: Tensor, map_width: int) -> Tensor:
    """Return boxes (n, 4) in image pixels from the distances of their sides.

    Parameters
    ----------
    cells
        int64 (n,).
    sides
        (n, 4), from the cell's point to top, bottom, left and right, in cells; below 0 counts as 0.
    """
    x, y = cell_points(cells, map_width)
    top, bottom, left, right = (sides.clamp(min=0) * STRIDE).unbind(dim=1)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=1)


def bias_of(convolution: nn.Conv2d) -> Tensor:
    """Return the bias of a convolution that has one."""
    if convolution.bias is None:
        raise TypeError("A branch's convolution has no bias.")
    return convolution.bias


def logit(probability: float) -> float:
    """Return the logarithm of the odds."""
    return math.log(probability / (1 - probability))


def _within(indices: Tensor, length: int) -> Tensor:
    return (indices >= 0) & (indices < length)


def _convolution(module: nn.Module) -> nn.Conv2d:
    if not isinstance(module, nn.Conv2d):
        raise TypeError(f"{type(module).__name__} stands where a branch has a convolution.")
    return module
