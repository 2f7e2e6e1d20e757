"""The region proposal network of Faster R-CNN, as MULAN uses it: boxes relative to fixed anchors (algorithms 4.3)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lens_engine.detector.config import AnchorConfig
from lens_engine.detector.network.box_coder import decode_boxes
from lens_engine.detector.proposal_networks.base import (
    ProposalNetwork,
    Scored,
    at_least_single,
    cell_points,
    cell_table,
)


class RpnMaps(NamedTuple):
    """What an RPN says of the A anchors of every cell.

    Attributes
    ----------
    objectness
        Logits (b, A, h, w).
    deltas
        (b, A, 4, h, w), as `box_coder` defines them relative to the anchors.
    """

    objectness: Tensor
    deltas: Tensor


class RegionProposals(ProposalNetwork):
    """One 3x3 convolution with ReLU, then objectness and deltas of every anchor by 1x1 convolutions.

    Place `(v * w + u) * A + a` is anchor a of a cell. A cell's anchors lie around its point, not rounded to pixels: all
    ratios of the first size, then those of the second.
    """

    cell_anchors: Tensor
    """(A, 4) around the point (0, 0), network pixels."""

    def __init__(self, channels: int, width: int, anchors: AnchorConfig) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(channels, width, 3, padding=1)
        self.objectness = nn.Conv2d(width, anchors.count, 1)
        self.deltas = nn.Conv2d(width, 4 * anchors.count, 1)
        for convolution in (self.hidden, self.objectness, self.deltas):
            nn.init.normal_(convolution.weight, std=0.01)
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
        self.register_buffer("cell_anchors", _around_origin(anchors), persistent=False)

    def forward(self, features: Tensor) -> RpnMaps:
        """Return the raw maps."""
        hidden = self._hidden(features)
        return RpnMaps(self.objectness(hidden), self.deltas(hidden).unflatten(1, (-1, 4)))

    def score(self, features: Tensor) -> Scored:
        """Return the objectness of every anchor."""
        hidden = self._hidden(features)
        scores = at_least_single(self.objectness(hidden)).permute(0, 2, 3, 1).flatten(1).sigmoid()
        return Scored(scores, hidden)

    def boxes_at(self, context: Tensor, places: Tensor) -> Tensor:
        """Return the boxes of some anchors."""
        count = len(self.cell_anchors)
        height, width = context.shape[2:]
        cells = torch.div(places, count, rounding_mode="floor")
        hidden = functional.embedding(cells, cell_table(context))
        deltas = functional.linear(hidden, self.deltas.weight.flatten(1), self.deltas.bias)
        own = deltas.view(-1, 4)[torch.arange(len(places), device=places.device) * count + places % count]
        return decode_boxes(at_least_single(own), self.anchors_at(places % (height * width * count), width))

    def start_with_sides(self, cells: float) -> None:
        """Leave the boxes as they are: anchors have their sizes already."""

    def anchors(self, height: int, width: int) -> Tensor:
        """Return the anchors (h * w * A, 4) of a map of so many cells, network pixels, in the order of places."""
        places = torch.arange(height * width * len(self.cell_anchors), device=self.cell_anchors.device)
        return self.anchors_at(places, width)

    def anchors_at(self, places: Tensor, map_width: int) -> Tensor:
        """Return the anchors (n, 4) at some places."""
        count = len(self.cell_anchors)
        x, y = cell_points(torch.div(places, count, rounding_mode="floor"), map_width)
        return self.cell_anchors[places % count] + torch.stack([x, y, x, y], dim=1)

    def _hidden(self, features: Tensor) -> Tensor:
        return functional.relu(self.hidden(features), inplace=True)


def _around_origin(anchors: AnchorConfig) -> Tensor:
    halves = [(size / ratio**0.5 / 2, size * ratio**0.5 / 2) for size in anchors.sizes for ratio in anchors.ratios]
    return torch.tensor([(-x, -y, x, y) for x, y in halves])
