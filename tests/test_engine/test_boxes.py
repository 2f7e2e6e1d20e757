"""Properties of the box arithmetic that everything else leans on."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lens_engine.boxes import (
    Overlap,
    as_boxes,
    centres,
    clip,
    from_inclusive,
    intersections,
    non_maximum_suppression,
    overlaps,
    pad_in_plane,
    sizes,
    to_inclusive,
)
from lens_engine.errors import BoxError

Boxes = NDArray[np.float64]


@st.composite
def boxes(draw: st.DrawFn, dimensions: int | None = None, is_whole: bool = False, smallest: float = 0) -> Boxes:
    """Up to eight boxes in a small space, of one dimensionality."""
    axes = dimensions or draw(st.sampled_from((2, 3)))
    numbers = st.integers(0, 20) if is_whole else st.floats(0, 20, width=32)
    count = draw(st.integers(0, 8))
    rows = st.lists(st.tuples(*[numbers] * axes), min_size=count, max_size=count)
    low, extent = (np.asarray(draw(rows), dtype=np.float64).reshape(-1, axes) for _ in range(2))
    return np.column_stack([low, low + extent + smallest])


@given(st.data(), st.sampled_from(Overlap))
def test_overlaps_are_shares(data: st.DataObject, overlap: Overlap) -> None:
    one, other = data.draw(boxes(3)), data.draw(boxes(3))
    shares = overlaps(one, other, overlap)
    assert shares.shape == (len(one), len(other))
    assert ((shares >= 0) & (shares <= 1 + 1e-12)).all()


@given(st.data())
def test_iou_is_symmetric_and_the_one_way_shares_swap(data: st.DataObject) -> None:
    one, other = data.draw(boxes(2)), data.draw(boxes(2))
    assert np.allclose(overlaps(one, other), overlaps(other, one).T)
    assert np.allclose(overlaps(one, other, Overlap.IOBB), overlaps(other, one, Overlap.IOGT).T)
    assert np.allclose(overlaps(one, other, Overlap.IOBBGT), overlaps(other, one, Overlap.IOBBGT).T)


@given(st.data())
def test_iou_is_never_above_the_one_way_shares(data: st.DataObject) -> None:
    one, other = data.draw(boxes(3)), data.draw(boxes(3))
    iou = overlaps(one, other)
    for overlap in (Overlap.IOBB, Overlap.IOGT, Overlap.IOBBGT):
        assert (iou <= overlaps(one, other, overlap) + 1e-12).all()


@given(boxes(smallest=1))
def test_a_box_overlaps_itself_completely(rows: Boxes) -> None:
    for overlap in Overlap:
        assert np.allclose(np.diag(overlaps(rows, rows, overlap)), 1)


@given(boxes(3, is_whole=True))
def test_intersections_count_shared_voxels(rows: Boxes) -> None:
    shared = intersections(rows, rows)
    grid = np.zeros((len(rows), 42, 42, 42), dtype=bool)
    for index, (x1, y1, z1, x2, y2, z2) in enumerate(rows.astype(int)):
        grid[index, z1:z2, y1:y2, x1:x2] = True
    for i in range(min(len(rows), 3)):
        assert shared[i].tolist() == [np.count_nonzero(grid[i] & other) for other in grid]


@st.composite
def scored_boxes(draw: st.DrawFn) -> tuple[Boxes, NDArray[np.float64]]:
    rows = draw(boxes(smallest=1))
    return rows, np.asarray(draw(st.permutations(range(len(rows)))), dtype=np.float64)


@given(scored_boxes(), st.floats(0, 1))
def test_nms_is_idempotent(case: tuple[Boxes, NDArray[np.float64]], threshold: float) -> None:
    rows, scores = case
    kept = non_maximum_suppression(rows, scores, threshold)
    assert non_maximum_suppression(rows[kept], scores[kept], threshold).tolist() == list(range(len(kept)))


@given(scored_boxes(), st.floats(0, 1), st.randoms(use_true_random=False))
def test_nms_does_not_depend_on_the_order_of_distinct_scores(
    case: tuple[Boxes, NDArray[np.float64]], threshold: float, random: Random
) -> None:
    rows, scores = case
    order = list(range(len(rows)))
    random.shuffle(order)
    shuffled = non_maximum_suppression(rows[order], scores[order], threshold)
    assert [order[i] for i in shuffled] == non_maximum_suppression(rows, scores, threshold).tolist()


@given(scored_boxes(), st.floats(0, 1))
def test_nms_keeps_what_is_apart_and_explains_what_is_gone(
    case: tuple[Boxes, NDArray[np.float64]], threshold: float
) -> None:
    rows, scores = case
    kept = non_maximum_suppression(rows, scores, threshold)
    mutual = overlaps(rows[kept], rows[kept]) - np.eye(len(kept))
    assert (mutual <= threshold + 1e-12).all()
    assert (np.diff(scores[kept]) < 0).all()
    for gone in set(range(len(rows))) - set(kept.tolist()):
        better = kept[scores[kept] > scores[gone]]
        assert (overlaps(rows[better], rows[[gone]]) > threshold).any()


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 200),
    st.sampled_from([2, 3]),
    st.sampled_from([0.1, 0.5]),
    st.sampled_from([5, 10_000]),
    st.integers(0, 9999),
)
def test_nms_through_blocks_keeps_what_one_box_after_the_other_keeps(
    count: int, dimensions: int, threshold: float, levels: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    low = random.uniform(0, 30, (count, dimensions))
    rows = np.concatenate([low, low + random.uniform(0, 20, (count, dimensions))], axis=1).astype(np.float32)
    scores = random.integers(0, levels, count) / levels
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable").tolist():
        if not (overlaps(rows[kept], rows[[row]]) > threshold).any():
            kept.append(row)
    assert non_maximum_suppression(rows, scores, threshold).tolist() == kept


def test_nms_at_exactly_the_threshold_keeps_both_and_ranks_ties_by_index() -> None:
    rows = np.asarray([[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 10]], dtype=np.float64)
    assert non_maximum_suppression(rows, np.asarray([0.5, 0.5, 0.5]), 0.5).tolist() == [0, 1]


@given(boxes(is_whole=True, smallest=1))
def test_whole_boxes_survive_the_inclusive_convention(rows: Boxes) -> None:
    inclusive = to_inclusive(rows)
    assert np.array_equal(from_inclusive(inclusive), rows)
    dimensions = rows.shape[1] // 2
    assert np.array_equal(inclusive[:, dimensions:], rows[:, dimensions:] - 1)


@given(boxes())
def test_inclusive_boxes_contain_what_they_round(rows: Boxes) -> None:
    again = from_inclusive(to_inclusive(rows))
    dimensions = rows.shape[1] // 2
    assert (again[:, :dimensions] <= rows[:, :dimensions] + 1e-3).all()
    assert (again[:, dimensions:] >= rows[:, dimensions:] - 1e-3).all()


def test_single_precision_noise_does_not_grow_an_inclusive_box() -> None:
    noisy = np.asarray([[10.00001, 20, 29.99999, 40.00002]], dtype=np.float32)
    assert to_inclusive(noisy).tolist() == [[10, 20, 29, 39]]


@given(boxes(), st.integers(1, 15))
def test_clipped_boxes_lie_within_both(rows: Boxes, side: int) -> None:
    dimensions = rows.shape[1] // 2
    clipped = clip(rows, (side,) * dimensions)
    assert ((clipped >= 0) & (clipped <= side)).all()
    assert (sizes(clipped) <= sizes(rows) + 1e-9).all()
    inside = (rows[:, dimensions:] <= side).all(axis=1)
    assert np.array_equal(clipped[inside], rows[inside])


def test_clip_takes_the_axes_of_the_array() -> None:
    assert clip(np.asarray([[-5, -5, -5, 99, 99, 99.0]]), (3, 4, 5)).tolist() == [[0, 0, 0, 5, 4, 3]]


@given(boxes(), st.floats(0, 10))
def test_padding_contains_the_box_keeps_its_centre_and_leaves_z_alone(rows: Boxes, margin: float) -> None:
    padded = pad_in_plane(rows, margin)
    dimensions = rows.shape[1] // 2
    assert np.allclose(centres(padded), centres(rows))
    assert (padded[:, :dimensions] <= rows[:, :dimensions]).all()
    assert (padded[:, dimensions:] >= rows[:, dimensions:]).all()
    if dimensions == 3:
        assert np.array_equal(padded[:, [2, 5]], rows[:, [2, 5]])


BROKEN = {
    "a column too few": ([[0, 0, 1]], "(1, 3)"),
    "a flat list": ([0, 0, 1, 1], "(4,)"),
    "not a number": ([[0, 0, 1, float("nan")]], "Box 0"),
    "infinite": ([[0, 0, 1, 1], [0, 0, float("inf"), 1]], "Box 1"),
    "inverted": ([[0, 0, 1, 1], [5, 0, 4, 1]], "[5.0, 0.0, 4.0, 1.0]"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_boxes_are_refused_with_their_values(name: str) -> None:
    values, message = BROKEN[name]
    with pytest.raises(BoxError) as refused:
        as_boxes(values, 2)
    assert message in str(refused.value)


def test_no_boxes_have_the_right_shape() -> None:
    assert as_boxes([], 3).shape == (0, 6)
    assert overlaps(as_boxes([], 2), as_boxes([[0, 0, 1, 1]], 2)).shape == (0, 1)
    assert non_maximum_suppression(as_boxes([], 2), np.zeros(0), 0.5).tolist() == []
