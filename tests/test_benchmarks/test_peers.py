import numpy as np
import pytest
import torch

from benchmarks.detector.peers import boxes_of, noise_on_the_grid, retinanet
from lens_engine.detector.config import published_lens
from lens_engine.detector.preprocess import prepare


@pytest.mark.parametrize("in_autocast", [False, True])
def test_the_peer_takes_a_volume_in_one_pass_and_returns_boxes_in_it(in_autocast: bool):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    voxels = np.random.default_rng(0).normal(0, 300, (16, 48, 64)).astype(np.int16)
    (found,) = boxes_of(retinanet(width=4), voxels, in_autocast=in_autocast)
    boxes = found["boxes"]
    assert 0 < len(boxes) <= 300
    assert boxes.shape[1] == 6
    assert (boxes.amin(dim=0) >= 0).all()
    assert (boxes.amax(dim=0) <= torch.tensor([64, 48, 16, 64, 48, 16])).all()


def test_our_network_sees_the_voxels_of_the_volume_one_by_one():
    config = published_lens(("universal",))
    volume = noise_on_the_grid(config, slices=3, side=40)
    grid = prepare(volume, config).grid
    assert (grid.size, grid.count, grid.scale) == ((40, 40), 3, (1.0, 1.0))
