"""Tracklets: fused 2D boxes linked through neighbouring grid slices, the unit that is mined.

See algorithms 5.0 and 5.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lens_engine.boxes import overlaps
from lens_engine.findings import FUSED, Finding
from lens_engine.mining.places import Marks
from lens_engine.mining.settings import Linking, MiningSettings
from lens_engine.mining.slices import NO_ROWS, rows_by_slice
from lens_engine.proposals import Proposals
from lens_engine.stacking import findings_of_chains, link


@dataclass(frozen=True, slots=True, eq=False)
class Tracklets:
    """The tracklets of one series.

    Attributes
    ----------
    members
        The boxes that are linked.
    tracklet_of_member
        (n,) the tracklet of every row of `members`.
    chains
        Rows of `members` for each tracklet, one on each of its grid slices, ascending. Every row is in exactly one,
        but that of connected tracklets only the best row of each slice is.
    """

    members: Proposals
    tracklet_of_member: NDArray[np.intp]
    chains: tuple[NDArray[np.intp], ...]

    @property
    def centres(self) -> NDArray[np.intp]:
        """The row of each tracklet's box on its centre slice, which resembles a key slice most, (tracklets,)."""
        return np.asarray([chain[(len(chain) - 1) // 2] for chain in self.chains], dtype=np.intp)

    @property
    def embeddings(self) -> NDArray[np.float64]:
        """The embedding of each tracklet's centre slice, (tracklets, d)."""
        return self.members.embeddings[self.centres].astype(np.float64)

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
    if settings.linking is Linking.CONNECTED:
        return _connected(members, settings.linking_iou)
    chains = link(members.boxes, members.grid_index, settings.linking_iou)
    return Tracklets(members, _owners(chains, len(members.scores)), tuple(chains))


def _connected(members: Proposals, linking_iou: float) -> Tracklets:
    """Group boxes that hang together through pairs that overlap enough, ordered by the first slice, then by row."""
    rows_of_slice = rows_by_slice(members.grid_index)
    uppers, lowers = [NO_ROWS], [NO_ROWS]
    for slice_index, upper in rows_of_slice.items():
        lower = rows_of_slice.get(slice_index + 1, NO_ROWS)
        i, j = np.nonzero(overlaps(members.boxes[upper], members.boxes[lower]) > linking_iou)
        uppers.append(upper[i])
        lowers.append(lower[j])
    pairs, count = (np.concatenate(uppers), np.concatenate(lowers)), len(members.scores)
    links = coo_array((np.ones(len(pairs[0])), pairs), shape=(count, count))
    component = connected_components(links, directed=False)[1]
    groups: dict[int, list[int]] = {}
    for row in np.argsort(members.grid_index, kind="stable").tolist():
        groups.setdefault(int(component[row]), []).append(row)
    parts = [np.asarray(group, dtype=np.intp) for group in groups.values()]
    return Tracklets(members, _owners(parts, count), tuple(_best_of_each_slice(part, members) for part in parts))


def _best_of_each_slice(rows: NDArray[np.intp], members: Proposals) -> NDArray[np.intp]:
    """Return the row with the best score on each slice, the first of equals."""
    best_last = np.lexsort((-rows, members.scores[rows], members.grid_index[rows]))
    ordered: NDArray[np.intp] = rows[best_last]
    is_last = np.append(np.diff(members.grid_index[ordered]) != 0, True)
    kept: NDArray[np.intp] = ordered[is_last]
    return kept


def _owners(parts: Sequence[NDArray[np.intp]], count: int) -> NDArray[np.intp]:
    owner = np.zeros(count, dtype=np.intp)
    for number, rows in enumerate(parts):
        owner[rows] = number
    return owner
