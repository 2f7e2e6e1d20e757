"""From 2D boxes on grid slices to 3D findings on the slices of the series (algorithms 4.5).

Boxes in neighbouring grid slices belong to one lesion when they overlap enough. Chains are one-to-one and have no gaps:
every box is in exactly one chain, and a chain may be a single box. Boxes are half-open voxel edges of the series; grid
slice j lies `j * grid_mm` below the first slice, slice k lies `k * slice_mm` below it.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import FloatArray, overlaps
from lens_engine.findings import Finding, SliceBox
from lens_engine.proposals import Proposals

LINKING_IOU = 0.5
"""Boxes of neighbouring grid slices whose IoU is greater than this are one lesion."""

ROUNDING_TOLERANCE = 1e-6
"""Slices by which a position may miss a slice border through floating-point noise alone."""


def stack(
    proposals: Proposals, expert: str, series_slices: int, linking_iou: float = LINKING_IOU
) -> tuple[Finding, ...]:
    """Link the 2D boxes of one expert (or of the fusion) into findings, best first.

    Parameters
    ----------
    proposals
        The boxes of all experts: the others say who else sees the same place.
    series_slices
        Number of slices of the series.
    """
    own = proposals.of(expert)
    chains = link(own.boxes, own.grid_index, linking_iou)
    found = findings_of_chains(own, chains, proposals, series_slices)
    return tuple(sorted(found, key=lambda finding: -finding.score))


def link(boxes: FloatArray, grid_index: NDArray[np.integer], threshold: float = LINKING_IOU) -> list[NDArray[np.intp]]:
    """Group boxes into chains through neighbouring grid slices.

    Between two slices the pair with the highest IoU above `threshold` is linked first, then the next among the boxes
    that are still free; equal IoUs in the order of the rows.

    Parameters
    ----------
    boxes, grid_index
        (n, 4) and (n,), in any order.

    Returns
    -------
    list
        Row indices of each chain, ascending in the grid; chains ordered by their first slice, then by row.
    """
    grid = np.asarray(grid_index)
    order = np.argsort(grid, kind="stable")
    slices, starts = np.unique(grid[order], return_index=True)
    rows_of_slice = np.split(order, starts[1:])
    successor = np.full(len(grid), -1, dtype=np.intp)
    is_continued = np.zeros(len(grid), dtype=np.bool_)
    for position in range(len(slices) - 1):
        if slices[position + 1] != slices[position] + 1:
            continue
        upper, lower = rows_of_slice[position], rows_of_slice[position + 1]
        for i, j in _best_pairs(overlaps(boxes[upper], boxes[lower]), threshold):
            successor[upper[i]] = lower[j]
            is_continued[lower[j]] = True
    chains = []
    for first in order[~is_continued[order]]:
        chain = [first]
        while successor[chain[-1]] >= 0:
            chain.append(successor[chain[-1]])
        chains.append(np.asarray(chain, dtype=np.intp))
    return chains


def findings_of_chains(
    members: Proposals, chains: Sequence[NDArray[np.intp]], everyone: Proposals, series_slices: int
) -> list[Finding]:
    """Return one finding for each chain, in their order.

    In the plane the box is the score-weighted mean of the chain, its score the highest of the chain, its expert the one
    that gave that score.

    Parameters
    ----------
    members
        The boxes that `chains` index into.
    everyone
        The boxes of all experts on the same grid, for `Finding.expert_scores`.
    """
    rows = np.concatenate([np.zeros(0, dtype=np.intp), *chains])
    support = np.zeros((len(members.scores), len(everyone.experts) - 1))
    support[rows] = _support(members.take(rows), everyone)
    return [_finding(members, chain, support[chain], series_slices) for chain in chains]


def series_slice_range(
    first_grid: int, last_grid: int, grid_mm: float, slice_mm: float, slices: int
) -> tuple[int, int]:
    """Return the first and the last slice of the series (both included) that a chain of grid slices covers.

    Each grid slice stands for half a grid step on either side of it. Where no slice centre falls inside, the nearest
    slice is taken, so that every finding covers at least one.
    """
    first = math.ceil((first_grid - 0.5) * grid_mm / slice_mm - ROUNDING_TOLERANCE)
    last = math.floor((last_grid + 0.5) * grid_mm / slice_mm + ROUNDING_TOLERANCE)
    if first > last:
        first = last = math.floor((first_grid + last_grid) / 2 * grid_mm / slice_mm + 0.5)
    return min(max(first, 0), slices - 1), min(max(last, 0), slices - 1)


def nearest_grid_index(slice_index: int, grid_mm: float, slice_mm: float) -> int:
    """Return the grid slice nearest to a slice of the series; the lower one of two at the same distance."""
    return math.floor(slice_index * slice_mm / grid_mm + 0.5 + ROUNDING_TOLERANCE)


def _best_pairs(shares: NDArray[np.float64], threshold: float) -> list[tuple[int, int]]:
    """Return pairs (row, column) above the threshold, each row and column once, the highest share first."""
    rows, columns = np.nonzero(shares > threshold)
    pairs: list[tuple[int, int]] = []
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    for k in np.argsort(-shares[rows, columns], kind="stable"):
        row, column = int(rows[k]), int(columns[k])
        if row not in used_rows and column not in used_columns:
            used_rows.add(row)
            used_columns.add(column)
            pairs.append((row, column))
    return pairs


def _support(members: Proposals, everyone: Proposals) -> NDArray[np.float64]:
    """Return the best score of each expert at the place of each member box, (members, experts); 0 for none."""
    experts = len(everyone.experts) - 1  # without the fusion, which is not an expert of its own
    support = np.zeros((len(members.scores), experts))
    own_order, order = (np.argsort(values.grid_index, kind="stable") for values in (members, everyone))
    own_grid, grid = members.grid_index[own_order], everyone.grid_index[order]
    for slice_index in np.unique(own_grid):
        own = own_order[slice(*np.searchsorted(own_grid, (slice_index, slice_index + 1)))]
        others = order[slice(*np.searchsorted(grid, (slice_index, slice_index + 1)))]
        same_place = overlaps(members.boxes[own], everyone.boxes[others]) > LINKING_IOU
        seen = same_place * everyone.scores[others].astype(np.float64)
        for expert in range(experts):
            of_expert = seen[:, everyone.expert_index[others] == expert]
            support[own, expert] = of_expert.max(axis=1, initial=0.0)
    return support


def _finding(members: Proposals, chain: NDArray[np.intp], support: NDArray[np.float64], series_slices: int) -> Finding:
    boxes, scores = members.boxes[chain].astype(np.float64), members.scores[chain].astype(np.float64)
    grid = members.grid_index[chain]
    weights = scores if scores.sum() > 0 else np.ones(len(scores))
    x1, y1, x2, y2 = (float(value) for value in np.average(boxes, axis=0, weights=weights))
    grid_mm, slice_mm = members.grid_spacing_mm, members.slice_spacing_mm
    first, last = series_slice_range(int(grid[0]), int(grid[-1]), grid_mm, slice_mm, series_slices)
    slices = []
    for slice_index in range(first, last + 1):
        member = min(max(nearest_grid_index(slice_index, grid_mm, slice_mm), int(grid[0])), int(grid[-1])) - int(
            grid[0]
        )
        low_x, low_y, high_x, high_y = (float(value) for value in boxes[member])
        slices.append(SliceBox(slice_index, (low_x, low_y, high_x, high_y), float(scores[member])))
    best = support.max(axis=0)
    return Finding(
        expert=members.experts[int(members.expert_index[chain[np.argmax(scores)]])],
        box=(x1, y1, float(first), x2, y2, float(last + 1)),
        slices=tuple(slices),
        score=float(scores.max()),
        expert_scores={members.experts[i]: float(best[i]) for i in range(len(best)) if best[i] > 0},
    )
