"""2D boxes become 3D findings: chains on the grid, slices of the series, and the scores of all experts."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lens_engine.boxes import overlaps
from lens_engine.findings import FUSED
from lens_engine.proposals import Proposals
from lens_engine.stacking import link, nearest_grid_index, series_slice_range, stack

Row = tuple[str, int, tuple[float, float, float, float], float]
EXPERTS = ("universal", "lung", "liver", FUSED)


def proposals(rows: list[Row], grid_mm: float = 2.0, slice_mm: float = 1.0) -> Proposals:
    return Proposals(
        EXPERTS,
        grid_mm,
        slice_mm,
        np.asarray([EXPERTS.index(row[0]) for row in rows], dtype=np.int16),
        np.asarray([row[1] for row in rows], dtype=np.int32),
        np.asarray([row[2] for row in rows], dtype=np.float32).reshape(-1, 4),
        np.asarray([row[3] for row in rows], dtype=np.float32),
        np.zeros((sum(row[0] == FUSED for row in rows), 2), dtype=np.float32),
    )


@st.composite
def grid_boxes(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Boxes crowded enough to compete for partners, on few slices, in any order."""
    count = draw(st.integers(0, 25))
    corners = draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=count, max_size=count))
    extents = draw(st.lists(st.tuples(st.integers(5, 9), st.integers(5, 9)), min_size=count, max_size=count))
    grid = draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    low = np.asarray(corners, dtype=np.float64).reshape(-1, 2)
    return np.column_stack([low, low + np.asarray(extents).reshape(-1, 2)]), np.asarray(grid, dtype=np.int64)


@given(grid_boxes())
def test_every_box_is_in_exactly_one_chain(case: tuple[NDArray[np.float64], NDArray[np.int64]]) -> None:
    chains = link(*case)
    assert sorted(row for chain in chains for row in chain.tolist()) == list(range(len(case[1])))


@given(grid_boxes(), st.floats(0, 0.9))
def test_chains_go_slice_by_slice_over_enough_overlap(
    case: tuple[NDArray[np.float64], NDArray[np.int64]], threshold: float
) -> None:
    boxes, grid = case
    for chain in link(boxes, grid, threshold):
        assert (np.diff(grid[chain]) == 1).all()
        for upper, lower in pairwise(chain):
            assert overlaps(boxes[[upper]], boxes[[lower]])[0, 0] > threshold


@given(grid_boxes())
def test_no_unlinked_pair_would_have_been_better(case: tuple[NDArray[np.float64], NDArray[np.int64]]) -> None:
    boxes, grid = case
    down, up = {}, {}
    for chain in link(boxes, grid):
        for upper, lower in pairwise(chain.tolist()):
            iou = overlaps(boxes[[upper]], boxes[[lower]])[0, 0]
            down[upper], up[lower] = iou, iou
    for upper in range(len(grid)):
        for lower in np.flatnonzero(grid == grid[upper] + 1).tolist():
            iou = overlaps(boxes[[upper]], boxes[[lower]])[0, 0]
            assert iou <= 0.5 or max(down.get(upper, 0), up.get(lower, 0)) >= iou


def test_a_gap_ends_a_chain() -> None:
    boxes = np.tile([[0.0, 0, 9, 9]], (4, 1))
    assert [chain.tolist() for chain in link(boxes, np.asarray([0, 1, 3, 4]))] == [[0, 1], [2, 3]]


def test_an_overlap_of_exactly_the_threshold_does_not_link() -> None:
    assert len(link(np.asarray([[0, 0, 10, 10], [0, 0, 10, 5.0]]), np.asarray([0, 1]), 0.5)) == 2


@pytest.mark.parametrize("slice_mm", [1.0, 2.0, 5.0, 0.8, 1.25, 3.0])
@pytest.mark.parametrize("slices", [1, 7, 60])
def test_a_slice_maps_to_the_grid_and_back(slice_mm: float, slices: int) -> None:
    for index in range(slices):
        grid = nearest_grid_index(index, 2.0, slice_mm)
        first, last = series_slice_range(grid, grid, 2.0, slice_mm, slices)
        assert first <= index <= last


@given(st.integers(0, 80), st.integers(0, 20), st.floats(0.3, 10), st.sampled_from((2.0, 4.0)), st.integers(1, 200))
def test_the_slice_range_is_that_in_the_documentation(
    first: int, length: int, slice_mm: float, grid_mm: float, slices: int
) -> None:
    """Algorithms 4.5 with a = 0: ceil((2 j1 - 1)/t) to floor((2 j2 + 1)/t), else the nearest slice, clipped."""
    last = first + length
    low = math.ceil((grid_mm * first - grid_mm / 2) / slice_mm - 1e-6)
    high = math.floor((grid_mm * last + grid_mm / 2) / slice_mm + 1e-6)
    z1, z2 = series_slice_range(first, last, grid_mm, slice_mm, slices)
    assert 0 <= z1 <= z2 < slices
    if 0 <= low <= high < slices:
        assert (z1, z2) == (low, high)
    elif low > high and high < slices - 1:
        assert z1 == z2
        assert abs(z1 * slice_mm - (first + last) / 2 * grid_mm) <= slice_mm / 2 + 1e-6


def test_a_chain_becomes_one_box_with_a_cross_section_on_each_slice() -> None:
    found = stack(
        proposals([("lung", 2, (10, 10, 20, 20), 0.2), ("lung", 3, (12, 10, 22, 20), 0.6)], slice_mm=1.0), "lung", 40
    )
    assert len(found) == 1
    assert found[0].box == pytest.approx((11.5, 10, 3, 21.5, 20, 8))
    assert found[0].score == pytest.approx(0.6)
    assert [section.slice_index for section in found[0].slices] == [3, 4, 5, 6, 7]
    assert [section.box[0] for section in found[0].slices] == [10, 10, 12, 12, 12]
    assert found[0].expert == "lung"


def test_findings_of_thick_slices_cover_at_least_one_slice() -> None:
    rows: list[Row] = [("lung", j, (10.0 + 30 * j, 10, 20.0 + 30 * j, 20), 0.5) for j in range(6)]
    found = stack(proposals(rows, slice_mm=5.0), "lung", 3)
    assert sorted(len(finding.slices) for finding in found) == [1] * 6
    assert sorted(finding.slices[0].slice_index for finding in found) == [0, 0, 1, 1, 2, 2]


def test_expert_scores_are_the_best_of_each_expert_at_the_place() -> None:
    rows: list[Row] = [
        ("universal", 4, (10, 10, 20, 20), 0.3),
        ("lung", 4, (10, 10, 20, 21), 0.8),
        ("lung", 5, (10, 10, 20, 20), 0.7),
        ("liver", 4, (15, 15, 25, 25), 0.9),
        ("liver", 9, (10, 10, 20, 20), 0.9),
        (FUSED, 4, (10, 10, 20, 21), 0.8),
        (FUSED, 5, (10, 10, 20, 20), 0.7),
    ]
    found = stack(proposals(rows), FUSED, 40)
    assert dict(found[0].expert_scores) == pytest.approx({"universal": 0.3, "lung": 0.8})
    assert found[0].expert == FUSED


def test_findings_come_best_first_and_none_come_from_nothing() -> None:
    rows: list[Row] = [("lung", 0, (0, 0, 9, 9), 0.1), ("lung", 5, (0, 0, 9, 9), 0.9), ("lung", 8, (0, 0, 9, 9), 0.0)]
    assert [finding.score for finding in stack(proposals(rows), "lung", 20)] == pytest.approx([0.9, 0.1, 0.0])
    assert stack(proposals([]), FUSED, 20) == ()
