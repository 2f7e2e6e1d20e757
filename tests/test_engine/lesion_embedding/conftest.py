import pytest
import torch

from lens_engine.lesion_embedding.config import EmbeddingConfig
from lens_engine.lesion_embedding.network import EmbeddingNetwork


@pytest.fixture
def tiny_config() -> EmbeddingConfig:
    return EmbeddingConfig(
        pixel_mm=2.0,
        grid_mm=4.0,
        patch_side=32,
        widths=(4, 6, 8, 10, 12),
        convolutions=(1, 1, 2, 1, 1),
        pooled=2,
        scale_width=5,
        width=7,
        terms=3,
    )


@pytest.fixture
def tiny_network(tiny_config: EmbeddingConfig) -> EmbeddingNetwork:
    torch.manual_seed(0)
    return EmbeddingNetwork(tiny_config).eval()
