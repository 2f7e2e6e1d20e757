"""The anchor-free proposal network of LENS (algorithms 4.1).

It says how likely a lesion is centred at a cell, and how far its four sides are away, in cells.
"""

from typing import NamedTuple

from torch import Tensor

from lens_engine.detector.proposal_networks.base import (
    PRIOR,
    Branch,
    BranchProposals,
    at_least_single,
    boxes_around,
    logit,
)


class AfpMaps(NamedTuple):
    """What an AFP says at every cell.

    Attributes
    ----------
    centerness
        Logits (b, 1, h, w).
    sizes
        (b, 4, h, w): distances to the top, bottom, left and right side in cells; below 0 counts as 0.
    """

    centerness: Tensor
    sizes: Tensor


class AnchorFreeProposals(BranchProposals):
    """Two branches: centerness and sizes."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.centerness = Branch(channels, width, 1)
        self.sizes = Branch(channels, width, 4)
        self.centerness.start_at(logit(PRIOR))

    def forward(self, features: Tensor) -> AfpMaps:
        """Return the raw maps."""
        return AfpMaps(self.centerness(features), self.sizes(features))

    @property
    def scoring_branch(self) -> Branch:
        """The centerness."""
        return self.centerness

    def scores_of(self, outputs: Tensor) -> Tensor:
        """Return the centerness of every cell."""
        return at_least_single(outputs).flatten(1).sigmoid()

    def boxes_at(self, context: Tensor, places: Tensor) -> Tensor:
        """Return the boxes of some cells."""
        height, width = context.shape[2:]
        return boxes_around(places % (height * width), self.sizes.at(context, places), width)

    def start_with_sides(self, cells: float) -> None:
        """Let every box begin with sides of so many cells."""
        self.sizes.start_at(cells / 2)
