import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lens_engine.detector.false_positive_reduction.pooling import roi_max_pool

BINS = (2, 4, 4)


def brute_force(cells: np.ndarray, box: list[float], bins: tuple[int, int, int]) -> np.ndarray:
    """Pool one channel (depth, height, width) bin by bin and cell by cell."""
    ranges = []
    for axis, length in enumerate(cells.shape):
        low = min(max(math.floor(box[2 - axis]), 0), length - 1)
        high = max(min(math.ceil(box[5 - axis]), length), low + 1)
        count = high - low
        ranges.append(
            [
                range(low + math.floor(k * count / bins[axis]), low + math.ceil((k + 1) * count / bins[axis]))
                for k in range(bins[axis])
            ]
        )
    result = np.full(bins, -np.inf)
    for k, zs in enumerate(ranges[0]):
        for i, ys in enumerate(ranges[1]):
            for j, xs in enumerate(ranges[2]):
                result[k, i, j] = max(cells[z, y, x] for z in zs for y in ys for x in xs)
    return result


edge = st.floats(-4, 14, allow_nan=False, width=32)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(edge, edge, edge, edge, edge, edge), min_size=1, max_size=4), st.integers(0, 1000))
def test_pooling_equals_the_brute_force_wherever_the_box_lies(corners, seed):
    points = torch.tensor(corners).view(-1, 2, 3)
    boxes = torch.cat([points.amin(dim=1), points.amax(dim=1)], dim=1)
    maps = torch.randn(len(boxes), 2, 4, 7, 9, generator=torch.Generator().manual_seed(seed))
    found = roi_max_pool(maps, boxes, BINS).numpy()
    for number, box in enumerate(boxes.tolist()):
        for channel in range(2):
            np.testing.assert_array_equal(found[number, channel], brute_force(maps[number, channel].numpy(), box, BINS))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000))
def test_the_largest_bin_is_the_largest_cell_of_the_box(seed):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(1, 3, 5, 6, 7, generator=generator)
    pooled = roi_max_pool(maps, torch.tensor([[1.0, 2, 0, 6, 5, 4]]), BINS)
    assert torch.equal(pooled.amax(dim=(2, 3, 4)), maps[:, :, 0:4, 2:5, 1:6].amax(dim=(2, 3, 4)))


def test_the_axes_of_a_box_are_x_then_y_then_z():
    maps = torch.zeros(1, 1, 4, 6, 8)
    maps[0, 0, 1, 2, 5] = 1
    assert roi_max_pool(maps, torch.tensor([[5.0, 2, 1, 6, 3, 2]]), (1, 1, 1)).item() == 1
    assert roi_max_pool(maps, torch.tensor([[1.0, 2, 5, 2, 3, 6]]), (1, 1, 1)).item() == 0


def test_pooling_passes_gradients_to_the_maps():
    maps = torch.randn(2, 2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[0.5, 1, 0, 3.5, 4.2, 2], [1, 1, 1, 1.5, 1.2, 1.3]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda values: roi_max_pool(values, boxes, BINS), maps)


def test_no_boxes_give_no_features():
    assert roi_max_pool(torch.zeros(0, 3, 4, 5, 6), torch.zeros(0, 6), BINS).shape == (0, 3, 2, 4, 4)
