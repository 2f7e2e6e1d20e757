"""A whole volume against MONAI's 3D RetinaNet, which takes the same voxels in one pass.

The peer is the network of MONAI's bundle for LUNA16 (ResNet-50 with a pyramid of the first two levels and one more,
three anchors at a place) with its detector around it. Both have random weights; both are given the HU of a volume on
their own grid, in the same process with the same threads, and return 3D boxes on the host. The peer knows one class:
one expert of ours answers as much, and the four of LENS, with their fusion, four times as much. What they find is not
compared: only what that costs.
"""

from collections import OrderedDict
from functools import partial

import numpy as np
import torch
from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
from monai.apps.detection.networks.retinanet_network import RetinaNet
from monai.apps.detection.utils.anchor_utils import AnchorGeneratorWithAnchorShape
from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool
from monai.networks.nets import resnet
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.detector.subjects import EXPERTS, loud_detector
from benchmarks.measure import Comparison, compare
from lens_engine.detector.config import published_lens
from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import InferenceDetector, InferencePrecision, InferenceSettings
from lens_engine.detector.input_config import InputConfig
from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume

SIDE = 512
GOAL = 3.0
"""What is aimed at in bf16."""

_PYRAMID_CHANNELS = 256
_ANCHORS = ((6, 8, 4), (8, 6, 5), (10, 10, 6))
_WINDOW_HU = -1024, 300
_KEPT = 1000
"""Best places of a level, as the bundle has it."""


def run(*, full: bool) -> list[Comparison]:
    """Return the comparisons of all experts in both precisions, and of one in bf16; in full on a longer volume."""
    slices, peer = 64 if full else 16, retinanet()
    fp32, bf16 = InferencePrecision.FP32, InferencePrecision.BF16
    subjects = (EXPERTS, fp32), (EXPERTS, bf16), (EXPERTS[:1], bf16)
    return [_compared(experts, peer, precision, slices) for experts, precision in subjects]


def retinanet(width: int = 64) -> RetinaNetDetector:
    """Return MONAI's detector with random weights, in evaluation mode; `width` is that of its first layer."""
    backbone = resnet.ResNet(
        spatial_dims=3,
        block=resnet.ResNetBottleneck,
        layers=[3, 4, 6, 3],
        block_inplanes=[width, 2 * width, 4 * width, 8 * width],
        n_input_channels=1,
        conv1_t_stride=(2, 2, 1),  # type: ignore[arg-type] # MONAI takes three numbers and says one
        conv1_t_size=(7, 7, 7),  # type: ignore[arg-type] # here as well
    )
    network = RetinaNet(
        spatial_dims=3,
        num_classes=1,
        num_anchors=len(_ANCHORS),
        feature_extractor=_Pyramid(backbone, width),
        size_divisible=(16, 16, 8),
    )
    detector = RetinaNetDetector(network, AnchorGeneratorWithAnchorShape((1, 2, 4), _ANCHORS))
    detector.set_box_selector_parameters(
        score_thresh=0.0, topk_candidates_per_level=_KEPT, nms_thresh=0.22, detections_per_img=300
    )
    return detector.eval()


def noise_on_the_grid(config: InputConfig, slices: int, side: int = SIDE) -> Volume:
    """Return a volume whose voxels are those of the network's grid, and of which nothing is air."""
    voxels = np.random.default_rng(0).normal(40, 150, (slices, side, side)).astype(np.int16)
    return Volume(voxels, VolumeGeometry(voxels.shape, (config.grid_mm, config.pixel_mm, config.pixel_mm)))


@torch.inference_mode()
def boxes_of(peer: RetinaNetDetector, voxels: NDArray[np.int16], *, in_autocast: bool) -> list[dict[str, Tensor]]:
    """Return what MONAI's detector finds in HU `[z, y, x]`, put in the window and the order of axes of its bundle."""
    lowest, highest = _WINDOW_HU
    scaled = torch.from_numpy(voxels).float().sub_(lowest).div_(highest - lowest).clamp_(0, 1)
    with torch.autocast("cpu", torch.bfloat16, enabled=in_autocast):
        found: list[dict[str, Tensor]] = peer(scaled.permute(2, 1, 0)[None, None].contiguous())
    return found


def _compared(
    experts: tuple[str, ...], peer: RetinaNetDetector, precision: InferencePrecision, slices: int
) -> Comparison:
    model = loud_detector(published_lens(experts))
    volume = noise_on_the_grid(model.config, slices)
    detector, in_autocast = InferenceDetector(model, InferenceSettings(precision)), precision is InferencePrecision.BF16
    row = compare(
        f"whole volume, LENS of {len(experts)}, {precision}, per slice",
        "MONAI RetinaNet",
        partial(boxes_of, peer, volume.voxels, in_autocast=in_autocast),
        partial(detect_with, detector, volume),
        repeats=3,
    ).per_piece(slices, slices)
    goal = GOAL if in_autocast else 0.0
    return row.wanted(goal, f"{slices} slices of {SIDE} x {SIDE} in one pass")


class _Pyramid(nn.Module):
    """The levels that the heads look at, as MONAI's own extractor makes them, which needs torchvision."""

    def __init__(self, backbone: resnet.ResNet, width: int) -> None:
        super().__init__()
        self.out_channels = _PYRAMID_CHANNELS
        first = 4 * width  # a bottleneck has four times its width
        self._stem = nn.Sequential(backbone.conv1, backbone.bn1, backbone.act, backbone.maxpool)
        self._levels = nn.ModuleList([backbone.layer1, backbone.layer2])
        self._pyramid = FeaturePyramidNetwork(3, [first, 2 * first], _PYRAMID_CHANNELS, LastLevelMaxPool(3))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the maps of both levels and the coarser one."""
        maps, found = self._stem(images), OrderedDict()
        for name, level in enumerate(self._levels):
            maps = found[str(name)] = level(maps)
        levels: dict[str, Tensor] = self._pyramid(found)
        return levels
