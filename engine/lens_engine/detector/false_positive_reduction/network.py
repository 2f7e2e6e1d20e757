"""ResNet with a 3D last stage and features of every stage pooled under the finding's box (algorithms 4.6).

Kernels are 1x3x3 in stages 1 to 3 and 3x3x3 in stage 4. The former are 2D layers over all slices of all patches: the
same numbers, and the parameters of a 2D ResNet. Names are torchvision's (`layer1.0.conv1.weight`). Along z the last
stage repeats the first and the last slice instead of padding with zeros, so that a volume which is constant along z
has the features of its one slice.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lens_engine.detector.false_positive_reduction.config import FprConfig
from lens_engine.detector.false_positive_reduction.pooling import roi_max_pool

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


class StageMaps(NamedTuple):
    """Outputs of the four stages, each (n, channels, depth, height, width), at in-plane strides 4, 8, 16 and 32."""

    stage1: Tensor
    stage2: Tensor
    stage3: Tensor
    stage4: Tensor


class ResidualBlock(nn.Module):
    """Two convolutions and a way around them.

    Parameters
    ----------
    downsample
        Brings the input to the shape of the output; None where it has it already.
    """

    def __init__(
        self, conv1: nn.Module, bn1: nn.Module, conv2: nn.Module, bn2: nn.Module, downsample: nn.Module | None
    ) -> None:
        super().__init__()
        self.conv1 = conv1
        self.bn1 = bn1
        self.conv2 = conv2
        self.bn2 = bn2
        self.downsample = downsample

    def forward(self, maps: Tensor) -> Tensor:
        """Return the sum of both ways, rectified."""
        around = maps if self.downsample is None else self.downsample(maps)
        hidden = functional.relu(self.bn1(self.conv1(maps)))
        return functional.relu(self.bn2(self.conv2(hidden)) + around)


class DepthConvolution(nn.Conv3d):
    """3x3x3, with the first and the last slice repeated and zeros around each slice."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__(channels, out_channels, 3, stride=stride, padding=(0, 1, 1), bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (n, channels, depth, height, width); each side shrinks by the stride, rounded up."""
        return super().forward(torch.cat([maps[:, :, :1], maps, maps[:, :, -1:]], dim=2))


class PatchTrunk(nn.Module):
    """From a patch to the maps of its four stages."""

    def __init__(self, config: FprConfig) -> None:
        super().__init__()
        width1, width2, width3, width4 = config.widths
        count1, count2, count3, count4 = config.blocks
        self.conv1 = nn.Conv2d(1, width1, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width1)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _slice_stage(width1, width1, count1, stride=1)
        self.layer2 = _slice_stage(width1, width2, count2, stride=2)
        self.layer3 = _slice_stage(width2, width3, count3, stride=2)
        self.layer4 = _depth_stage(width3, width4, count4)

    def forward(self, patches: Tensor) -> StageMaps:
        """Map patches (n, 1, depth, height, width) to the outputs of all stages."""
        count, _, depth = patches.shape[:3]
        slices = patches.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        stem = self.maxpool(functional.relu(self.bn1(self.conv1(slices))))
        stage1 = self.layer1(stem)
        stage2 = self.layer2(stage1)
        stage3 = self.layer3(stage2)
        flat = [maps.unflatten(0, (count, depth)).transpose(1, 2) for maps in (stage1, stage2, stage3)]
        return StageMaps(flat[0], flat[1], flat[2], self.layer4(flat[2]))


class FprNetwork(nn.Module):
    """Says how likely the finding in the middle of a patch is a lesion."""

    def __init__(self, config: FprConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = PatchTrunk(config)
        bins = math.prod(config.pooled)
        self.scales = nn.ModuleList([nn.Linear(width * bins, config.fc_width) for width in config.widths])
        self.classifier = nn.Linear(len(config.widths) * config.fc_width, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for kernel in self.parameters():  # faster on a CPU, and what bfloat16 needs to be fast anywhere
            if kernel.dim() in _CHANNELS_LAST:
                kernel.data = kernel.data.contiguous(memory_format=_CHANNELS_LAST[kernel.dim()])

    def forward(self, patches: Tensor, boxes: Tensor) -> Tensor:
        """Return the logit of each patch, (n,).

        Parameters
        ----------
        patches
            float (n, 1, *config.patch), as `PatchCutter` makes them.
        boxes
            (n, 6), `[x1, y1, z1, x2, y2, z2]` in voxels of the patch. Stage 4 is pooled as a whole.
        """
        return self.judge(self.trunk(patches), boxes)

    def judge(self, maps: StageMaps, boxes: Tensor) -> Tensor:
        """Return the logit of each patch, (n,), from its maps (of any precision) and its box."""
        whole = boxes.new_tensor([0.0, 0.0, 0.0, *self.config.patch[::-1]]).expand_as(boxes)
        features = []
        for stage, box, scale in zip(maps, (boxes, boxes, boxes, whole), self.scales, strict=True):
            pooled = roi_max_pool(stage, self._in_cells(box, stage), self.config.pooled)
            features.append(functional.relu(scale(pooled.flatten(1).to(boxes.dtype))))
        logits: Tensor = self.classifier(torch.cat(features, dim=1)).squeeze(1)
        return logits

    def _in_cells(self, boxes: Tensor, stage: Tensor) -> Tensor:
        cells, voxels = stage.shape[:1:-1], self.config.patch[::-1]  # x, y, z
        factors = [length / side for length, side in zip(cells, voxels, strict=True)]
        return boxes * boxes.new_tensor(factors * 2)


def _slice_stage(channels: int, out_channels: int, count: int, stride: int) -> nn.Sequential:
    following = [_slice_block(out_channels, out_channels, 1) for _ in range(1, count)]
    return nn.Sequential(_slice_block(channels, out_channels, stride), *following)


def _depth_stage(channels: int, out_channels: int, count: int) -> nn.Sequential:
    following = [_depth_block(out_channels, out_channels, 1) for _ in range(1, count)]
    return nn.Sequential(_depth_block(channels, out_channels, 2), *following)


def _slice_block(channels: int, out_channels: int, stride: int) -> ResidualBlock:
    downsample = None
    if stride != 1 or channels != out_channels:
        shortcut = nn.Conv2d(channels, out_channels, 1, stride=stride, bias=False)
        downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))
    return ResidualBlock(
        nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        downsample,
    )


def _depth_block(channels: int, out_channels: int, stride: int) -> ResidualBlock:
    downsample = None
    if stride != 1 or channels != out_channels:
        shortcut = nn.Conv3d(channels, out_channels, 1, stride=stride, bias=False)
        downsample = nn.Sequential(shortcut, nn.BatchNorm3d(out_channels))
    return ResidualBlock(
        DepthConvolution(channels, out_channels, stride),
        nn.BatchNorm3d(out_channels),
        DepthConvolution(out_channels, out_channels, 1),
        nn.BatchNorm3d(out_channels),
        downsample,
    )
