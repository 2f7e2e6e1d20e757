"""Small real false-positive reduction networks: random, in evaluation mode."""

import pytest
from support.training.reduction_network import loud_network

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
