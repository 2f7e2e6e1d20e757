"""What is measured: detectors with random weights that find boxes, and volumes of noise."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.config import DetectorConfig

EXPERTS = ("universal", "lung", "liver", "lymph node")


def loud_detector(config: DetectorConfig) -> LensDetector:
    """Return a detector in evaluation mode whose random weights give features, scores and boxes of useful size.

    Its slices have as many proposals and boxes as the configuration allows: the most work that real ones can make.
    """
    generator = torch.Generator().manual_seed(0)
    model = LensDetector(config).eval().requires_grad_(requires_grad=False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.5, generator=generator)
            module.bias.normal_(0, 0.3, generator=generator)
            module.get_buffer("running_mean").normal_(0, 0.3, generator=generator)
            module.get_buffer("running_var").uniform_(0.5, 2.0, generator=generator)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.normal_(0, module.weight[0].numel() ** -0.5, generator=generator)
            if module.bias is not None:
                module.bias.normal_(0, 0.1, generator=generator)
    model.backbone.trunk.features.get_parameter("conv0.weight").div_(50)
    for network in model.proposal_networks():
        network.start_with_sides(5.0)
    for layer in model.regressors:
        layer.get_parameter("weight").mul_(0.1)
    return model


def noise(slices: int, side: int) -> list[Tensor]:
    """Return grid slices as a network sees them."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(side, side, generator=generator) * 50 for _ in range(slices)]


def sample(slices: list[Tensor], centre: int) -> Tensor:
    """Return the nine slices around one, (9, side, side)."""
    return torch.stack([slices[min(max(index, 0), len(slices) - 1)] for index in range(centre - 4, centre + 5)])


def crowded_boxes(count: int, dimensions: int, per_lesion: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return boxes (count, 2 d) that see each lesion several times, and their distinct scores."""
    generator = np.random.default_rng(0)
    lesions = -(-count // per_lesion)
    centre = np.repeat(generator.uniform(0, 400, (lesions, dimensions)), per_lesion, axis=0)
    half = np.repeat(generator.uniform(4, 25, (lesions, dimensions)), per_lesion, axis=0)
    centre += generator.normal(0, 0.15, centre.shape) * half
    half *= generator.uniform(0.8, 1.25, half.shape)
    boxes = np.concatenate([centre - half, centre + half], axis=1)[:count].astype(np.float32)
    return boxes, generator.permutation(count).astype(np.float32) / np.float32(count)
