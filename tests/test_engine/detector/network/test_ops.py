import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lens_engine import boxes as reference
from lens_engine.detector.network import ops

corners = arrays(np.float32, st.tuples(st.integers(0, 40), st.just(4)), elements=st.integers(0, 40).map(float))


def as_boxes(values) -> torch.Tensor:
    """Order two corners; sides of 0 stay possible."""
    points = torch.from_numpy(np.asarray(values)).view(-1, 2, 2)
    return torch.cat([points.amin(dim=1), points.amax(dim=1)], dim=1)


def random_boxes(count, seed, extent=60.0, dimensions=2):
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(count, dimensions, generator=generator) * extent
    half = torch.rand(count, dimensions, generator=generator) * 12 + 1
    return torch.cat([centre - half, centre + half], dim=1), torch.rand(count, generator=generator)


def bilinear(plane: np.ndarray, y: float, x: float) -> float:
    """Sample as the published code does: 0 outside [-1, size], then clamped to the map."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    upper = plane[top, left] * (1 - dx) + plane[top, right] * dx
    lower = plane[bottom, left] * (1 - dx) + plane[bottom, right] * dx
    return float(upper * (1 - dy) + lower * dy)


def brute_force_roi_align(plane, box, pooled, scale, *, aligned):
    x1, y1, x2, y2 = (value * scale - (0.5 if aligned else 0.0) for value in box)
    width, height = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1), max(y2 - y1, 1))
    result = np.zeros((pooled, pooled))
    for row in range(pooled):
        for column in range(pooled):
            ys = [y1 + (row + (k + 0.5) / 2) * height / pooled for k in range(2)]
            xs = [x1 + (column + (k + 0.5) / 2) * width / pooled for k in range(2)]
            result[row, column] = np.mean([bilinear(plane, y, x) for y in ys for x in xs])
    return result


@settings(deadline=None)
@given(corners, corners)
def test_iou_is_that_of_the_domain(first, second):
    found = ops.box_iou(as_boxes(first), as_boxes(second)).numpy()
    np.testing.assert_allclose(found, reference.overlaps(as_boxes(first).numpy(), as_boxes(second).numpy()), atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 400), st.integers(0, 1000), st.sampled_from([0.3, 0.5, 0.7]), st.sampled_from([2, 3]))
def test_blocked_nms_keeps_what_the_greedy_reference_keeps(count, seed, threshold, dimensions):
    boxes, scores = random_boxes(count, seed, dimensions=dimensions)
    expected = reference.non_maximum_suppression(boxes.numpy(), scores.numpy(), threshold)
    np.testing.assert_array_equal(ops.non_maximum_suppression(boxes, scores, threshold).numpy(), expected)


def test_equal_scores_are_ranked_by_index():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [20, 20, 30, 30]])
    assert ops.non_maximum_suppression(boxes, torch.ones(3), 0.5).tolist() == [0, 2]


def test_a_box_exactly_at_the_threshold_survives():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5]])
    assert ops.non_maximum_suppression(boxes, torch.tensor([0.9, 0.8]), 0.5).tolist() == [0, 1]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 300), st.integers(0, 1000))
def test_nms_is_idempotent_and_free_of_order(count, seed):
    boxes, scores = random_boxes(count, seed)
    kept = ops.non_maximum_suppression(boxes, scores, 0.5)
    assert ops.non_maximum_suppression(boxes[kept], scores[kept], 0.5).tolist() == list(range(len(kept)))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    shuffled = order[ops.non_maximum_suppression(boxes[order], scores[order], 0.5)]
    assert shuffled.tolist() == kept.tolist()


def test_a_limit_keeps_the_best():
    boxes, scores = random_boxes(500, 3)
    everything = ops.non_maximum_suppression(boxes, scores, 0.5)
    assert ops.non_maximum_suppression(boxes, scores, 0.5, limit=7).tolist() == everything[:7].tolist()


@pytest.mark.parametrize("aligned", [False, True])
def test_roi_align_equals_the_brute_force(aligned):
    features = torch.randn(2, 3, 9, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    # Inside, tiny, over the edges, and far outside.
    first = torch.tensor([[4.0, 6, 30, 25], [10, 10, 10.5, 11], [-30, -9, 20, 20], [100, 100, 140, 140]])
    second = torch.tensor([[0.0, 0, 44, 36], [30, 20, 60, 60]])
    found = ops.roi_align(features, [first.double(), second.double()], 7, 0.25, aligned=aligned)
    assert found.shape == (6, 3, 7, 7)
    for row, (image, box) in enumerate([(0, b) for b in first.tolist()] + [(1, b) for b in second.tolist()]):
        for channel in range(3):
            plane = features[image, channel].numpy()
            expected = brute_force_roi_align(plane, box, 7, 0.25, aligned=aligned)
            np.testing.assert_allclose(found[row, channel].numpy(), expected, atol=1e-9)


def test_roi_align_reads_half_precision_maps_at_exact_places():
    """Eight bits cannot tell places of half a cell apart on a large map."""
    columns = torch.arange(200.0).expand(1, 1, 8, 200) / 256  # a ramp that eight bits hold to 1/512
    box = torch.tensor([[400.0, 8, 428, 16]])
    exact = ops.roi_align(columns, [box], 7, 0.25)
    found = ops.roi_align(columns.bfloat16(), [box], 7, 0.25)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, rtol=0, atol=1 / 256)
    assert (found[0, 0, 0].diff() > 0).all()


def test_roi_align_does_not_depend_on_how_the_map_is_laid_out():
    features = torch.randn(1, 5, 9, 11, generator=torch.Generator().manual_seed(0))
    boxes = [torch.tensor([[4.0, 6, 30, 25], [-3, 0, 60, 9]])]
    other = features.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(ops.roi_align(other, boxes, 7, 0.25), ops.roi_align(features, boxes, 7, 0.25))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(0, 60), st.integers(0, 1000))
def test_many_ranked_sets_survive_as_each_alone(sets, count, seed):
    ranked = torch.stack([random_boxes(count, seed + one, extent=30.0)[0] for one in range(sets)])
    alive = ops.ranked_survivors(ranked, 0.4)
    falling = torch.arange(count, 0, -1).float()
    for one in range(sets):
        expected = ops.non_maximum_suppression(ranked[one], falling, 0.4)
        assert torch.nonzero(alive[one])[:, 0].tolist() == expected.tolist()


def test_boxes_without_extent_neither_suppress_nor_are_suppressed():
    ranked = torch.tensor([[5.0, 5, 5, 5], [0, 0, 10, 10], [5, 5, 5, 5], [0, 0, 0, 0]])
    assert ops.ranked_survivors(ranked, 0.0).all()


def test_roi_align_passes_gradients_to_the_features():
    features = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    boxes = [torch.tensor([[2.0, 3, 17, 15]], dtype=torch.float64)]
    assert torch.autograd.gradcheck(lambda maps: ops.roi_align(maps, boxes, 2, 0.25), features)


def test_no_boxes_give_no_features():
    assert ops.roi_align(torch.zeros(2, 3, 4, 4), [torch.zeros(0, 4)] * 2, 7, 0.25).shape == (0, 3, 7, 7)
    assert ops.non_maximum_suppression(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []
