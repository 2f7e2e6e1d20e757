"""Tracklets: fused 2D boxes linked through neighbouring grid slices, the unit that is mined (spec 5.0 and 5.1)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.findings import FUSED, Finding
from lens_engine.mining.places import Marks
from lens_engine.mining.settings import MiningSettings
from lens_engine.proposals import Proposals
from lens_engine.stacking import findings_of_chains, link


@dataclass(frozen=True, slots=True, eq=False)
class Tracklets:
    """The tracklets of one series.

    Attributes
    ----------
    members
        The boxes that are linked.
    chains
        Rows of `members` for each tracklet, ascending in the grid; every row is in exactly one.
    """

    members: Proposals
    chains: tuple[NDArray[np.intp], ...]

    @property
    def tracklet_of_member(self) -> NDArray[np.intp]:
        """The tracklet of every row of `members`, (n,)."""
        owner = np.zeros(len(self.members.scores), dtype=np.intp)
        for tracklet, chain in enumerate(self.chains):
            owner[chain] = tracklet
        return owner

    @property
    def embeddings(self) -> NDArray[np.float64]:
        """The embedding of each tracklet's centre slice, (tracklets, d); that slice resembles a key slice most."""
        centres = np.asarray([chain[(len(chain) - 1) // 2] for chain in self.chains], dtype=np.intp)
        return self.members.embeddings[centres].astype(np.float64)

    def findings(self, tracklets: NDArray[np.intp], everyone: Proposals, series_slices: int) -> list[Finding]:
        """Return the findings of some tracklets, with the scores that the experts of `everyone` give there."""
        return findings_of_chains(self.members, [self.chains[t] for t in tracklets], everyone, series_slices)

    def marks(self, tracklets: NDArray[np.intp]) -> Marks:
        """Return the boxes of some tracklets as places to avoid."""
        rows = np.flatnonzero(np.isin(self.tracklet_of_member, tracklets))
        return Marks(
            owner=self.tracklet_of_member[rows],
            grid_index=self.members.grid_index[rows].astype(np.intp),
            boxes=self.members.boxes[rows].astype(np.float64),
        )


def build_tracklets(proposals: Proposals, settings: MiningSettings) -> Tracklets:
    """Link the fused boxes of one series that are sure enough."""
    fused = proposals.of(FUSED)
    members = fused.take(np.flatnonzero(fused.scores >= settings.tracklet_min_score))
    return Tracklets(members, tuple(link(members.boxes, members.grid_index, settings.linking_iou)))
