"""Proposals of CenterNet (Zhou et al. 2019, "Objects as points", arXiv 1904.07850), also at stride 4 (algorithms 4.3b).

A lesion is a peak of a heat-map; at the peak stand its size, and where in the cell its centre lies.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lens_engine.detector.network.backbone import STRIDE
from lens_engine.detector.proposal_networks.base import PRIOR, Branch, BranchProposals, at_least_single, logit

PEAK_WINDOW = 3
"""Cells along each side of the neighbourhood that a peak dominates; the paper's substitute for NMS."""


class CenterNetMaps(NamedTuple):
    """What CenterNet says at every cell.

    Attributes
    ----------
    heat
        Logits (b, 1, h, w).
    sizes
        (b, 2, h, w): width and height in cells; below 0 counts as 0.
    offsets
        (b, 2, h, w): x and y of the centre in cells from the cell's upper left corner.
    """

    heat: Tensor
    sizes: Tensor
    offsets: Tensor


class CenterNetProposals(BranchProposals):
    """Three branches as in the paper: heat-map, sizes and offsets.

    The prior of the heat-map is that of the other networks, where the paper has 0.1.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.heat = Branch(channels, width, 1)
        self.sizes = Branch(channels, width, 2)
        self.offsets = Branch(channels, width, 2)
        self.heat.start_at(logit(PRIOR))
        self.offsets.start_at(0.5)

    def forward(self, features: Tensor) -> CenterNetMaps:
        """Return the raw maps."""
        return CenterNetMaps(self.heat(features), self.sizes(features), self.offsets(features))

    @property
    def scoring_branch(self) -> Branch:
        """The heat-map."""
        return self.heat

    def scores_of(self, outputs: Tensor) -> Tensor:
        """Return the heat of every peak, and 0 of every other cell."""
        heat = at_least_single(outputs)
        highest = functional.max_pool2d(heat, PEAK_WINDOW, stride=1, padding=PEAK_WINDOW // 2)
        return (heat.sigmoid() * (heat == highest)).flatten(1)

    def boxes_at(self, context: Tensor, places: Tensor) -> Tensor:
        """Return the boxes of some cells."""
        height, width = context.shape[2:]
        rows = torch.div(places, width, rounding_mode="floor") % height
        corners = torch.stack([places % width, rows], dim=1)
        centres = (corners + self.offsets.at(context, places)) * STRIDE
        halves = self.sizes.at(context, places).clamp(min=0) * (STRIDE / 2)
        return torch.cat([centres - halves, centres + halves], dim=1)

    def start_with_sides(self, cells: float) -> None:
        """Let every box begin with sides of so many cells."""
        self.sizes.start_at(cells)
