"""Small real false-positive reduction networks: random, in evaluation mode."""

import pytest
import torch
from torch import nn

from lens_engine.detector.false_positive_reduction.config import FprConfig
from lens_engine.detector.false_positive_reduction.network import FprNetwork


@pytest.fixture
def tiny_config() -> FprConfig:
    return FprConfig(
        pixel_mm=2.0, grid_mm=4.0, patch=(4, 32, 24), blocks=(1, 1, 1, 2), widths=(4, 6, 8, 10), fc_width=5
    )


@pytest.fixture
def tiny_network(tiny_config: FprConfig) -> FprNetwork:
    return loud_network(tiny_config)


def loud_network(config: FprConfig, seed: int = 0) -> FprNetwork:
    """Make a network whose statistics are not those of a new one, so that every parameter counts."""
    generator = torch.Generator().manual_seed(seed)
    network = FprNetwork(config).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 2.0, generator=generator)
            elif isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
                module.weight.normal_(0, module.weight[0].numel() ** -0.5, generator=generator)
        network.trunk.conv1.weight /= 50
    return network
