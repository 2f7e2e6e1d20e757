"""How many multiply-accumulates each part of a detector needs, counted without computing anything (algorithms 3.3).

Counted are convolutions and matrix products, on shapes alone. Normalisation, pooling, ROIAlign and NMS are not.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.config import DetectorConfig
from lens_engine.detector.network.backbone import ROLES, STRIDE, DenseBackbone, check_padded

_PUBLISHED_SIZE = (512, 512)


class NetworkPart(StrEnum):
    """Part of a detector."""

    STEM = "stem"
    BLOCK1 = "block 1"
    TRANSITION1 = "transition 1"
    BLOCK2 = "block 2"
    TRANSITION2 = "transition 2"
    INNER_FUSION = "inner fusion"
    BLOCK3 = "block 3"
    LATERAL1 = "lateral of block 1"
    LATERAL2 = "lateral of block 2"
    LATERAL3 = "lateral of block 3"
    LAST_FUSION = "last fusion"
    SCORES = "proposal scores"
    BOXES_EVERYWHERE = "proposal boxes, everywhere"
    BOXES_KEPT = "proposal boxes, where kept"
    HEAD = "head"

    @property
    def is_backbone(self) -> bool:
        """Whether the part comes before the feature map."""
        return self not in {NetworkPart.SCORES, NetworkPart.BOXES_EVERYWHERE, NetworkPart.BOXES_KEPT, NetworkPart.HEAD}


@dataclass(frozen=True, slots=True)
class PartCost:
    """What one part costs.

    Attributes
    ----------
    macs
        Multiply-accumulates of the part once: for one triplet, one sample, one expert, or all regions of a slice.
    times_alone
        How often a slice needs it where every sample is computed on its own, and every map densely.
    times_shared
        How often in whole-volume inference: each triplet visited once, linear layers merged, boxes where kept.
    """

    part: NetworkPart
    macs: int
    times_alone: int
    times_shared: int


_TRUNK = (
    (NetworkPart.STEM, ("conv0", "norm0", "relu0", "pool0")),
    (NetworkPart.BLOCK1, ("denseblock1",)),
    (NetworkPart.TRANSITION1, ("transition1",)),
    (NetworkPart.BLOCK2, ("denseblock2",)),
    (NetworkPart.TRANSITION2, ("transition2",)),
    (NetworkPart.BLOCK3, ("denseblock3",)),
)


def part_costs(
    config: DetectorConfig, size: tuple[int, int] = _PUBLISHED_SIZE, places: int | None = None
) -> tuple[PartCost, ...]:
    """Return the cost of every part, in the order of computation.

    Parameters
    ----------
    size
        Height and width of the padded slice, multiples of 16.
    places
        At which each expert regresses boxes in whole-volume inference; default: the configuration's `pre_nms`.
        The head sees `post_nms` regions.

    Raises
    ------
    ValueError
        If a side is no multiple of 16.
    """
    check_padded(*size)
    with torch.device("meta"), torch.no_grad():
        model = LensDetector(config).eval()
        features = torch.empty(1, config.backbone.fpn_channels, size[0] // STRIDE, size[1] // STRIDE)
        return (*_backbone(model.backbone, size), *_proposals(model, features, places), *_head(model))


def macs_alone(costs: Iterable[PartCost]) -> int:
    """Return the multiply-accumulates of a slice where every sample is computed on its own, and every map densely."""
    return sum(cost.macs * cost.times_alone for cost in costs)


def macs_shared(costs: Iterable[PartCost]) -> int:
    """Return the multiply-accumulates of a slice in whole-volume inference."""
    return sum(cost.macs * cost.times_shared for cost in costs)


def count_macs(compute: Callable[[], object]) -> int:
    """Return the multiply-accumulates of the convolutions and matrix products that a call makes, on any device."""
    with FlopCounterMode(display=False) as counter:
        compute()
    return int(counter.get_total_flops()) // 2


def _backbone(backbone: DenseBackbone, size: tuple[int, int]) -> Iterator[PartCost]:
    maps = torch.empty(1, ROLES, *size)
    sources = []
    for part, names in _TRUNK:
        section = nn.Sequential(*(backbone.trunk.features.get_submodule(name) for name in names))
        macs, maps_after = _passed(section, maps)
        if part is NetworkPart.BLOCK3:
            yield PartCost(NetworkPart.INNER_FUSION, _passed(backbone.inner_fusion, _of_all_roles(maps))[0], 1, 1)
        # The third block sees a triplet as a side one, and again as the central one, which knows its neighbours.
        yield PartCost(part, macs, times_alone=ROLES, times_shared=2 if part is NetworkPart.BLOCK3 else 1)
        if part in {NetworkPart.BLOCK1, NetworkPart.BLOCK2, NetworkPart.BLOCK3}:
            sources.append(maps_after)
        maps = maps_after
    laterals = (NetworkPart.LATERAL1, NetworkPart.LATERAL2, NetworkPart.LATERAL3)
    for part, lateral, source in zip(laterals, backbone.pyramid.laterals, sources, strict=True):
        # Merged with the last fusion, there is still one for each role.
        yield PartCost(part, _passed(lateral, source)[0], times_alone=ROLES, times_shared=ROLES)
    finest = backbone.pyramid(*sources)
    yield PartCost(NetworkPart.LAST_FUSION, _passed(backbone.last_fusion, _of_all_roles(finest))[0], 1, 0)


def _proposals(model: LensDetector, features: Tensor, places: int | None) -> Iterator[PartCost]:
    network = model.proposal_networks()[0]
    experts = len(model.config.experts)
    scored = network.score(features)
    chosen = min(model.config.proposal.pre_nms if places is None else places, scored.scores.shape[1])
    kept = torch.zeros(chosen, dtype=torch.int64)
    scores = count_macs(lambda: network.score(features))
    yield PartCost(NetworkPart.SCORES, scores, experts, experts)
    yield PartCost(NetworkPart.BOXES_EVERYWHERE, count_macs(lambda: network(features)) - scores, experts, 0)
    yield PartCost(NetworkPart.BOXES_KEPT, count_macs(lambda: network.boxes_at(scored.context, kept)), 0, experts)


def _head(model: LensDetector) -> Iterator[PartCost]:
    head, config = model.head, model.config
    if head is None or config.head is None:
        return
    pooled = torch.empty(config.proposal.post_nms, config.backbone.fpn_channels, config.head.pooled, config.head.pooled)

    def compute() -> None:
        shared = head(pooled)
        for layer in (*model.classifiers, *model.regressors):
            layer(shared)

    yield PartCost(NetworkPart.HEAD, count_macs(compute), 1, 1)


def _passed(module: nn.Module, maps: Tensor) -> tuple[int, Tensor]:
    """Return what a module costs, and its output."""
    outputs: list[Tensor] = []
    return count_macs(lambda: outputs.append(module(maps))), outputs[0]


def _of_all_roles(maps: Tensor) -> Tensor:
    return torch.cat([maps] * ROLES, dim=1)
