import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens_engine.detector.stacking import link_chains, series_slices, stack_findings
from lens_engine.proposals import Proposals

SQUARE = (10.0, 20.0, 30.0, 40.0)


def proposals(rows, *, grid_mm=2.0, slice_mm=2.0) -> Proposals:
    """Build proposals of the experts universal, lung and fused from (expert, grid slice, box, score)."""
    experts = ("universal", "lung", "fused")
    return Proposals(
        experts=experts,
        grid_spacing_mm=grid_mm,
        slice_spacing_mm=slice_mm,
        expert_index=np.array([experts.index(row[0]) for row in rows], dtype=np.int16),
        grid_index=np.array([row[1] for row in rows], dtype=np.int32),
        boxes=np.array([row[2] for row in rows], dtype=np.float32).reshape(-1, 4),
        scores=np.array([row[3] for row in rows], dtype=np.float32),
        embeddings=np.zeros((len(rows), 1), dtype=np.float32),
    )


def test_boxes_in_neighbouring_slices_become_one_finding():
    rows = [
        ("fused", 4, (10, 20, 30, 40), 0.2),
        ("fused", 5, (12, 20, 32, 40), 0.6),
        ("fused", 6, (12, 20, 32, 40), 0.4),
    ]
    (finding,) = stack_findings(proposals(rows), (20, 64, 64))
    assert finding.score == pytest.approx(0.6)
    x1 = (0.2 * 10 + 0.6 * 12 + 0.4 * 12) / 1.2
    # At 2 mm a grid slice reaches half a step to either side: the slices 4 to 6 whose centres lie in [7, 13] mm.
    assert finding.box == pytest.approx((x1, 20, 4, x1 + 20, 40, 7))
    assert [section.slice_index for section in finding.slices] == [4, 5, 6]
    assert [section.score for section in finding.slices] == pytest.approx([0.2, 0.6, 0.4])


def test_a_gap_of_one_slice_separates_findings():
    rows = [("fused", 4, SQUARE, 0.2), ("fused", 6, SQUARE, 0.6)]
    assert len(stack_findings(proposals(rows), (20, 64, 64))) == 2


def test_linking_is_one_to_one_and_prefers_the_larger_overlap():
    grid = np.array([0, 0, 1, 1])
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [2, 0, 12, 10], [40, 0, 50, 10]], dtype=np.float32)
    chains = [chain.tolist() for chain in link_chains(grid, boxes)]
    assert chains == [[0], [1, 2], [3]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 12), st.integers(0, 12)), max_size=40))
def test_every_box_is_in_exactly_one_chain_of_neighbouring_slices(places):
    grid = np.array([place[0] for place in places], dtype=np.int64)
    boxes = np.array([(x, y, x + 10, y + 10) for _, x, y in places], dtype=np.float32).reshape(-1, 4)
    chains = link_chains(grid, boxes)
    assert sorted(row for chain in chains for row in chain.tolist()) == list(range(len(places)))
    for chain in chains:
        assert np.diff(grid[chain]).tolist() == [1] * (len(chain) - 1)


@pytest.mark.parametrize(
    ("first", "last", "slice_mm", "expected"),
    [
        # j1, j2 on a 2 mm grid; spec 4.5 with a = 0 gives inclusive ceil((2 j1 - 1) / t) .. floor((2 j2 + 1) / t).
        (3, 5, 1.0, (5, 12)),
        (3, 5, 2.0, (3, 6)),
        (3, 5, 5.0, (1, 3)),
        (1, 1, 5.0, (0, 1)),
        (4, 4, 5.0, (2, 3)),
        (0, 0, 1.0, (0, 2)),
        (39, 40, 2.0, (39, 40)),
    ],
)
def test_grid_slices_stand_for_these_slices_of_the_series(first, last, slice_mm, expected):
    assert series_slices(first * 2.0, last * 2.0, 2.0, slice_mm, 40) == expected


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([1.0, 2.0, 5.0]), st.sampled_from([2.0, 4.0]), st.integers(0, 39), st.integers(1, 12))
def test_slices_survive_the_way_to_the_grid_and_back(slice_mm, grid_mm, first, length):
    """Spec section 11, check (g): as exact as the coarser of the two spacings allows."""
    low, high = first, min(first + length, 40)
    from_grid = round(low * slice_mm / grid_mm)
    to_grid = round((high - 1) * slice_mm / grid_mm)
    found = series_slices(from_grid * grid_mm, to_grid * grid_mm, grid_mm, slice_mm, 40)
    tolerance = np.ceil(grid_mm / slice_mm)
    assert abs(found[0] - low) <= tolerance
    assert abs(found[1] - high) <= tolerance
    if grid_mm <= slice_mm:
        assert found == (low, high)


def test_every_covered_slice_gets_the_cross_section_of_the_nearest_grid_slice():
    rows = [("fused", 1, (10, 10, 30, 30), 0.5), ("fused", 2, (11, 10, 31, 30), 0.7)]
    (finding,) = stack_findings(proposals(rows, grid_mm=4.0, slice_mm=1.0), (40, 64, 64))
    assert (finding.box[2], finding.box[5]) == (2, 11)
    assert [section.box[0] for section in finding.slices] == [10] * 5 + [11] * 4


def test_a_fused_finding_names_every_expert_that_sees_its_place():
    rows = [
        ("universal", 4, SQUARE, 0.3),
        ("lung", 4, (11, 20, 31, 40), 0.8),
        ("lung", 9, (50, 50, 60, 60), 0.9),
        ("fused", 4, (11, 20, 31, 40), 0.8),
    ]
    findings = stack_findings(proposals(rows), (20, 64, 64))
    assert [finding.expert for finding in findings] == ["universal", "lung", "lung", "fused"]
    assert findings[-1].expert_scores == pytest.approx({"universal": 0.3, "lung": 0.8})
    assert findings[1].expert_scores == pytest.approx({"lung": 0.9})


def test_no_boxes_give_no_findings():
    assert stack_findings(proposals([]), (20, 64, 64)) == ()
