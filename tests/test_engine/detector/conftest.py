"""Small real networks for the detector's tests: random, but loud enough to find boxes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.config import BackboneConfig, DetectorConfig, HeadConfig, PostConfig, ProposalConfig
from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume

EXPERTS = ("universal", "lung")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def tiny_config() -> DetectorConfig:
    return DetectorConfig(
        experts=EXPERTS,
        pixel_mm=2.0,
        grid_mm=4.0,
        max_side=128,
        backbone=BackboneConfig(stem=6, growth=4, blocks=(2, 2, 2), bottleneck=2, fpn_channels=8),
        proposal=ProposalConfig(width=6, min_side=4, pre_nms=40, post_nms=12),
        head=HeadConfig(fc_width=10, pooled=3),
        post=PostConfig(score_threshold=0.05, per_slice=5),
    )


@pytest.fixture
def loud_detector() -> Callable[[DetectorConfig], LensDetector]:
    """Makes a detector with random weights, statistics and outputs of useful size, in evaluation mode."""
    return _loud_detector


@pytest.fixture
def tiny_detector(tiny_config: DetectorConfig) -> LensDetector:
    return _loud_detector(tiny_config)


@pytest.fixture
def make_volume() -> Callable[..., Volume]:
    """Makes a noisy body in air: `make_volume(slices, spacing_mm)`."""

    def make(slices: int, spacing_mm: tuple[float, float, float] = (5.0, 2.0, 2.0)) -> Volume:
        voxels = np.full((slices, 72, 64), -1000, dtype=np.int16)
        noise = np.random.default_rng(slices).normal(40, 200, (slices, 56, 48))
        voxels[:, 8:64, 10:58] = np.maximum(noise, -700)
        return Volume(voxels, VolumeGeometry(voxels.shape, spacing_mm))

    return make


def _loud_detector(config: DetectorConfig, seed: int = 0) -> LensDetector:
    generator = torch.Generator().manual_seed(seed)
    model = LensDetector(config).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 2.0, generator=generator)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                fan = module.weight[0].numel()
                module.weight.normal_(0, fan**-0.5, generator=generator)
                if module.bias is not None:
                    module.bias.normal_(0, 0.1, generator=generator)
        model.backbone.trunk.features.get_submodule("conv0").weight /= 50
        for network in model.proposal_networks():
            network.start_with_sides(5.0)
        for layer in model.regressors:
            layer.weight.mul_(0.1)
    return model
