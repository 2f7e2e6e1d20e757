"""From 2D boxes on grid slices to 3D findings in the series (spec 4.5)."""

import math

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import overlaps
from lens_engine.findings import Box2D, Box3D, Finding, SliceBox
from lens_engine.proposals import Proposals

LINK_ABOVE_IOU = 0.5
"""Boxes on neighbouring grid slices that overlap more than this are of the same finding; also: the same place."""

_DECIMALS = 6  # a grid slice half-way between two slices must not move by rounding


def stack_findings(proposals: Proposals, shape: tuple[int, int, int]) -> tuple[Finding, ...]:
    """Chain the 2D boxes of every expert through neighbouring slices, each chain one finding.

    x and y are the score-weighted mean of the chain, the score is its maximum, z the slices of the series that its
    grid slices stand for.

    Parameters
    ----------
    proposals
        Detections of one series.
    shape
        Slices, rows and columns of the series.

    Returns
    -------
    tuple of Finding
        By expert in the order of `proposals.experts`, best first.
    """
    scores_at_places = _scores_at_places(proposals)
    findings: list[Finding] = []
    for number, expert in enumerate(proposals.experts):
        rows = np.flatnonzero(proposals.expert_index == number)
        chains = link_chains(proposals.grid_index[rows], proposals.boxes[rows])
        own = [_as_finding(proposals, expert, rows[chain], scores_at_places, shape) for chain in chains]
        findings += sorted(own, key=lambda finding: (-finding.score, finding.box))
    return tuple(findings)


def link_chains(grid_index: NDArray[np.integer], boxes: NDArray[np.floating]) -> list[NDArray[np.intp]]:
    """Link boxes of neighbouring grid slices one to one, best overlap first; no gap is bridged.

    Parameters
    ----------
    grid_index
        (n,), slice of each box.
    boxes
        (n, 4).

    Returns
    -------
    list of int arrays
        Row numbers of each chain, ascending by slice; every row is in exactly one chain.
    """
    chains: list[list[int]] = []
    chain_of: dict[int, int] = {}
    previous: NDArray[np.intp] = np.empty(0, dtype=np.intp)
    previous_slice = None
    for index in np.unique(grid_index):
        rows = np.flatnonzero(grid_index == index)
        if previous_slice is not None and index == previous_slice + 1:
            for before, after in _best_pairs(overlaps(boxes[previous], boxes[rows])):
                chain = chain_of[int(previous[before])]
                chains[chain].append(int(rows[after]))
                chain_of[int(rows[after])] = chain
        for row in rows.tolist():
            if row not in chain_of:
                chain_of[row] = len(chains)
                chains.append([row])
        previous, previous_slice = rows, index
    return [np.asarray(chain, dtype=np.intp) for chain in chains]


def series_slices(
    first_grid_mm: float, last_grid_mm: float, grid_mm: float, slice_mm: float, count: int
) -> tuple[int, int]:
    """Return the half-open range of slices that grid slices from one depth to another stand for.

    A grid slice stands for half a grid step on either side; where no slice lies in there, for the nearest one. The
    range is cut to the `count` slices of the series and never empty.
    """
    low = math.ceil(round((first_grid_mm - grid_mm / 2) / slice_mm, _DECIMALS))
    high = math.floor(round((last_grid_mm + grid_mm / 2) / slice_mm, _DECIMALS))
    if low > high:
        low = high = math.floor(round((first_grid_mm + last_grid_mm) / 2 / slice_mm, _DECIMALS) + 0.5)
    low = min(max(low, 0), count - 1)
    return low, min(max(high, low), count - 1) + 1


def _best_pairs(similarity: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return greedy one-to-one pairs above the link threshold, highest first; equal ones by index."""
    befores, afters = np.nonzero(similarity > LINK_ABOVE_IOU)
    order = np.argsort(-similarity[befores, afters], kind="stable")
    used_before: set[int] = set()
    used_after: set[int] = set()
    pairs = []
    for before, after in zip(befores[order].tolist(), afters[order].tolist(), strict=True):
        if before not in used_before and after not in used_after:
            used_before.add(before)
            used_after.add(after)
            pairs.append((before, after))
    return pairs


def _as_finding(
    proposals: Proposals,
    expert: str,
    rows: NDArray[np.intp],
    scores_at_places: NDArray[np.float64],
    shape: tuple[int, int, int],
) -> Finding:
    depths = proposals.grid_index[rows] * proposals.grid_spacing_mm
    low, high = series_slices(
        float(depths[0]), float(depths[-1]), proposals.grid_spacing_mm, proposals.slice_spacing_mm, shape[0]
    )
    scores = proposals.scores[rows].astype(np.float64)
    weights = np.maximum(scores, np.finfo(np.float32).tiny)
    x1, y1, x2, y2 = (weights @ proposals.boxes[rows] / weights.sum()).tolist()
    box: Box3D = (
        max(x1, 0.0),
        max(y1, 0.0),
        float(low),
        min(x2, float(shape[2])),
        min(y2, float(shape[1])),
        float(high),
    )
    slices = []
    for index in range(low, high):
        row = rows[int(np.argmin(np.abs(depths - index * proposals.slice_spacing_mm)))]
        slices.append(SliceBox(index, _as_box(proposals.boxes[row]), float(proposals.scores[row])))
    best = scores_at_places[rows].max(axis=0).tolist()
    expert_scores = {name: value for name, value in zip(proposals.experts[:-1], best, strict=True) if value > 0}
    return Finding(expert, box, tuple(slices), float(scores.max()), expert_scores)


def _scores_at_places(proposals: Proposals) -> NDArray[np.float64]:
    """Return for every box the best score of each expert at its place on its slice, (n, experts); 0 for none."""
    experts = len(proposals.experts) - 1
    best = np.zeros((len(proposals.scores), experts))
    order = np.argsort(proposals.grid_index, kind="stable")
    borders = np.flatnonzero(np.diff(proposals.grid_index[order])) + 1
    for rows in np.split(order, borders):
        same_place = overlaps(proposals.boxes[rows], proposals.boxes[rows]) > LINK_ABOVE_IOU
        scores = np.where(same_place, proposals.scores[rows][None, :], 0)
        for number in range(experts):
            own = proposals.expert_index[rows] == number
            if own.any():
                best[rows, number] = scores[:, own].max(axis=1)
    return best


def _as_box(values: NDArray[np.float32]) -> Box2D:
    x1, y1, x2, y2 = (float(value) for value in values)
    return x1, y1, x2, y2
