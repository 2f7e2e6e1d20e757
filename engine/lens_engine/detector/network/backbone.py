"""The 2.5D DenseNet: a truncated DenseNet-121 on three triplets, fused in 3D, with a feature pyramid (algorithms 3).

A sample is nine grid slices, three triplets of three. The trunk's parameters carry torchvision's names
(`features.denseblock1.denselayer1.norm1.weight`), so that published ImageNet weights fit it.
`shared.py` computes the same map for every slice of a volume, with each triplet visited once.
"""

from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lens_engine.detector.config import BackboneConfig
from lens_engine.detector.preprocess import SIZE_DIVISOR

STRIDE = 4
"""Network pixels per cell of the feature map."""
ROLES = 3
"""Previous, central and next triplet of a sample."""


class TripletMaps(NamedTuple):
    """What the trunk knows of a triplet alone.

    Attributes
    ----------
    block1, block2
        Outputs of the first two dense blocks, at strides 4 and 8.
    transition2
        Input of the third dense block, at stride 16.
    """

    block1: Tensor
    block2: Tensor
    transition2: Tensor


class DenseLayer(nn.Module):
    """BN, ReLU, 1x1, BN, ReLU, 3x3; adds `growth` channels to its input."""

    def __init__(self, channels: int, growth: int, bottleneck: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, bottleneck * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck * growth)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the input with the new channels behind it."""
        hidden = self.conv1(functional.relu(self.norm1(maps), inplace=True))
        grown = self.conv2(functional.relu(self.norm2(hidden), inplace=True))
        return torch.cat([maps, grown], dim=1)


class DenseTrunk(nn.Module):
    """DenseNet-121 up to and including its third dense block, without a final norm (algorithms 3.1).

    Attributes
    ----------
    channels
        How many channels each of the three dense blocks puts out.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["conv0"] = nn.Conv2d(3, config.stem, 7, stride=2, padding=3, bias=False)
        parts["norm0"] = nn.BatchNorm2d(config.stem)
        parts["relu0"] = nn.ReLU(inplace=True)
        parts["pool0"] = nn.MaxPool2d(3, stride=2, padding=1)
        width = config.stem
        widths = []
        for number, layers in enumerate(config.blocks, start=1):
            block: OrderedDict[str, nn.Module] = OrderedDict()
            for layer in range(1, layers + 1):
                block[f"denselayer{layer}"] = DenseLayer(width, config.growth, config.bottleneck)
                width += config.growth
            parts[f"denseblock{number}"] = nn.Sequential(block)
            widths.append(width)
            if number < len(config.blocks):
                parts[f"transition{number}"] = _transition(width)
                width //= 2
        self.features = nn.Sequential(parts)
        self.channels = (widths[0], widths[1], widths[2])
        self.transition2_channels = widths[1] // 2

    def triplet_maps(self, triplets: Tensor) -> TripletMaps:
        """Map triplets (n, 3, h, w) to everything before the third block.

        Raises
        ------
        ValueError
            If a side is no multiple of 16.
        """
        check_padded(*triplets.shape[2:])
        maps = triplets
        for name in ("conv0", "norm0", "relu0", "pool0", "denseblock1"):
            maps = self.features.get_submodule(name)(maps)
        block1 = maps
        block2 = self.features.get_submodule("denseblock2")(self.features.get_submodule("transition1")(block1))
        return TripletMaps(block1, block2, self.features.get_submodule("transition2")(block2))

    def block3(self, transition2: Tensor) -> Tensor:
        """Return the output of the third dense block, at stride 16."""
        return _tensor(self.features.get_submodule("denseblock3")(transition2))


class FeaturePyramid(nn.Module):
    """Lateral 1x1 convolutions and nearest upsampling to stride 4; no smoothing, no activation (algorithms 3.1)."""

    def __init__(self, channels: tuple[int, int, int], out_channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList([nn.Conv2d(width, out_channels, 1) for width in channels])
        for lateral in self.laterals:
            _initialise_linear(lateral)

    def forward(self, block1: Tensor, block2: Tensor, block3: Tensor) -> Tensor:
        """Return the finest map, (n, out_channels, h / 4, w / 4)."""
        coarse = self.laterals[2](block3)
        middle = self.laterals[1](block2) + _doubled(coarse)
        return _tensor(self.laterals[0](block1) + _doubled(middle))


class DenseBackbone(nn.Module):
    """Nine slices in, one feature map of stride 4 out (algorithms 3.2).

    The inner fusion replaces the central triplet's map before the third block by a mix of all three; the last fusion
    mixes the three pyramids.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.trunk = DenseTrunk(config)
        inner = self.trunk.transition2_channels
        self.inner_fusion = nn.Conv2d(ROLES * inner, inner, 1)
        self.pyramid = FeaturePyramid(self.trunk.channels, config.fpn_channels)
        self.last_fusion = nn.Conv2d(ROLES * config.fpn_channels, config.fpn_channels, 1)
        _initialise_linear(self.last_fusion)

    def forward(self, samples: Tensor) -> Tensor:
        """Map samples (b, 9, h, w), h and w multiples of 16, to features (b, channels, h / 4, w / 4)."""
        batch, _, height, width = samples.shape
        maps = self.trunk.triplet_maps(samples.reshape(batch * ROLES, 3, height, width))
        inner = maps.transition2.reshape(batch, ROLES, *maps.transition2.shape[1:])
        fused = self.inner_fusion(inner.flatten(1, 2))
        replaced = torch.stack([inner[:, 0], fused, inner[:, 2]], dim=1).flatten(0, 1)
        finest = self.pyramid(maps.block1, maps.block2, self.trunk.block3(replaced))
        return _tensor(self.last_fusion(finest.reshape(batch, -1, *finest.shape[2:])))


def check_padded(height: int, width: int) -> None:
    """Refuse images whose maps of different strides would not fit each other.

    Raises
    ------
    ValueError
        If a side is no multiple of 16.
    """
    if height % SIZE_DIVISOR or width % SIZE_DIVISOR:
        raise ValueError(
            f"Images are {height} x {width} pixels; both sides must be multiples of {SIZE_DIVISOR}. "
            "Pad them with zeros at the bottom and on the right, as `prepare` does."
        )


def _transition(width: int) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    parts["norm"] = nn.BatchNorm2d(width)
    parts["relu"] = nn.ReLU(inplace=True)
    parts["conv"] = nn.Conv2d(width, width // 2, 1, bias=False)
    parts["pool"] = nn.AvgPool2d(2, stride=2)
    return nn.Sequential(parts)


def _initialise_linear(convolution: nn.Module) -> None:
    if isinstance(convolution, nn.Conv2d) and convolution.bias is not None:
        nn.init.kaiming_uniform_(convolution.weight, a=1)
        nn.init.zeros_(convolution.bias)


def _doubled(maps: Tensor) -> Tensor:
    return functional.interpolate(maps, scale_factor=2.0, mode="nearest")


def _tensor(value: object) -> Tensor:
    """Give the untyped result of a module its type."""
    if not isinstance(value, Tensor):
        raise TypeError(f"A module returned {type(value).__name__}; a tensor is needed.")
    return value
