"""Proposals of FCOS (Tian et al. 2019, arXiv 1904.01355) on one map of stride 4 (algorithms 4.3b).

Every cell inside a lesion proposes it; the centre-ness lowers the scores of those near its border.
"""

import math
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

MAX_LOG_CELLS = math.log(256)
"""No side is further away (natural logarithm of cells): twice the longest slice."""


class FcosMaps(NamedTuple):
    """What FCOS says at every cell.

    Attributes
    ----------
    classes
        Logits (b, 1, h, w) of lying inside a lesion.
    centerness
        Logits (b, 1, h, w) of lying in its middle.
    distances
        (b, 4, h, w), above 0: to the top, bottom, left and right side in cells.
    """

    classes: Tensor
    centerness: Tensor
    distances: Tensor


class FcosProposals(BranchProposals):
    """Two branches: class and centre-ness, and the logarithms of the distances.

    The paper's branches have four convolutions; these have one, like the AFP's, so that only the principle differs.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.classes = Branch(channels, width, 2)
        self.sides = Branch(channels, width, 4)
        self.classes.start_at(logit(PRIOR), 0.0)

    def forward(self, features: Tensor) -> FcosMaps:
        """Return the raw maps, but for the distances, which are no logarithms any more."""
        classes, centerness = self.classes(features).split(1, dim=1)
        return FcosMaps(classes, centerness, _distances(self.sides(features)))

    @property
    def scoring_branch(self) -> Branch:
        """Class and centre-ness."""
        return self.classes

    def scores_of(self, outputs: Tensor) -> Tensor:
        """Return the geometric mean of class probability and centre-ness of every cell."""
        both = at_least_single(outputs).flatten(2).sigmoid()
        return (both[:, 0] * both[:, 1]).sqrt()

    def boxes_at(self, context: Tensor, places: Tensor) -> Tensor:
        """Return the boxes of some cells."""
        height, width = context.shape[2:]
        return boxes_around(places % (height * width), _distances(self.sides.at(context, places)), width)

    def start_with_sides(self, cells: float) -> None:
        """Let every box begin with sides of so many cells."""
        self.sides.start_at(math.log(cells / 2))


def _distances(logarithms: Tensor) -> Tensor:
    return logarithms.clamp(max=MAX_LOG_CELLS).exp()
