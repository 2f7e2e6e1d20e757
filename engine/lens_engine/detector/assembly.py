"""The detector itself: backbone, one proposal network per expert, a shared head and one output layer per expert."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lens_engine.detector.config import DetectorConfig
from lens_engine.detector.network import ops
from lens_engine.detector.network.backbone import STRIDE, DenseBackbone
from lens_engine.detector.network.box_coder import decode_boxes
from lens_engine.detector.network.head import SharedHead, classifier, regressor
from lens_engine.detector.proposal_networks.base import ProposalNetwork
from lens_engine.detector.proposal_networks.build import build_proposal_network

ONE_STAGE_POOLED = 7
"""Bins of ROIAlign along each side in a detector without a head, whose configuration does not name them."""


class BoxSet(NamedTuple):
    """Boxes (n, 4) in network pixels of one image, and their scores (n,)."""

    boxes: Tensor
    scores: Tensor


@dataclass(frozen=True, slots=True)
class ProposalLimits:
    """How many proposals are kept: best places per expert before NMS, pooled boxes per image after it."""

    pre_nms: int
    post_nms: int


class LensDetector(nn.Module):
    """LENS: several data set experts on one backbone (algorithms 3, 4.1, 4.2).

    Attributes
    ----------
    proposers
        A `ProposalNetwork` for each of `config.experts`, in that order.
    head
        Shared by all experts; None in a detector of one stage, whose proposals are its detections.
    classifiers, regressors
        One for each of `config.experts`, in that order; none in a detector of one stage.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.backbone.fpn_channels
        self.backbone = DenseBackbone(config.backbone)
        self.proposers = nn.ModuleList([build_proposal_network(channels, config.proposal) for _ in config.experts])
        self.head: SharedHead | None = None
        self.classifiers, self.regressors = nn.ModuleList(), nn.ModuleList()
        if config.head is not None:
            width = config.head.fc_width
            self.head = SharedHead(channels, config.head.pooled, width)
            self.classifiers.extend(classifier(width) for _ in config.experts)
            self.regressors.extend(regressor(width) for _ in config.experts)
        # A fifth faster on a CPU, and what ROIAlign reads without a copy.
        for kernel in (parameter for parameter in self.parameters() if parameter.dim() == 4):
            kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)

    @property
    def embedding_width(self) -> int:
        """Length of a box's embedding."""
        return self.config.backbone.fpn_channels if self.config.head is None else self.config.head.fc_width

    @property
    def test_limits(self) -> ProposalLimits:
        """Limits of inference."""
        return ProposalLimits(self.config.proposal.pre_nms, self.config.proposal.post_nms)

    @property
    def train_limits(self) -> ProposalLimits:
        """Limits of training."""
        return ProposalLimits(self.config.proposal.train_pre_nms, self.config.proposal.train_post_nms)

    def forward_features(self, samples: Tensor) -> Tensor:
        """Map samples (b, 9, h, w) of `PreparedVolume.sample` to features (b, channels, h / 4, w / 4)."""
        features = self.backbone(samples)
        if not isinstance(features, Tensor):
            raise TypeError(f"The backbone returned {type(features).__name__}; a tensor is needed.")
        return features

    @torch.no_grad()
    def proposals(
        self, features: Tensor, image_sizes: Sequence[tuple[int, int]], limits: ProposalLimits | None = None
    ) -> list[BoxSet]:
        """Pool the proposals of all experts for each image (algorithms 4.2), without gradient.

        Boxes are regressed only at the places that are kept, which gives the same boxes.

        Parameters
        ----------
        features
            (b, channels, h, w).
        image_sizes
            Network pixels (height, width) of each image without padding.
        limits
            Default: those of inference.
        """
        limits = limits or self.test_limits
        by_image = self.expert_proposals(features, image_sizes, limits.pre_nms)
        return [self._pooled(experts, limits.post_nms) for experts in by_image]

    @torch.no_grad()
    def expert_proposals(
        self, features: Tensor, image_sizes: Sequence[tuple[int, int]], limit: int
    ) -> list[tuple[BoxSet, ...]]:
        """Return for each image the at most `limit` proposals of each expert, best first, before any NMS."""
        by_expert = [
            self._proposals_of_expert(network, features, image_sizes, limit) for network in self.proposal_networks()
        ]
        return list(zip(*by_expert, strict=True))

    def roi_features(self, features: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """Pool boxes (n_i, 4) of each image to (sum of n_i, channels, pooled, pooled)."""
        pooled = ONE_STAGE_POOLED if self.config.head is None else self.config.head.pooled
        return ops.roi_align(features, list(boxes), pooled, 1 / STRIDE)

    def head_features(self, features: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """Return what the shared head sees in boxes (n_i, 4) of each image, (sum of n_i, width).

        Raises
        ------
        ValueError
            If the detector has one stage.
        """
        if self.head is None:
            raise ValueError("The detector has one stage; only one of two stages has a head.")
        shared: Tensor = self.head(self.roi_features(features, boxes))
        return shared

    def embedding_features(self, features: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """Return what describes boxes (n_i, 4) of each image, (sum of n_i, `embedding_width`).

        The head's features; in a detector of one stage, which has none, the mean over the bins of the box.
        """
        if self.head is None:
            return self.roi_features(features, boxes).mean(dim=(2, 3))
        return self.head_features(features, boxes)

    def expert_scores(self, shared: Tensor) -> Tensor:
        """Return each expert's probability of a lesion, (r, experts), from head features (r, width)."""
        return torch.stack([layer(shared).softmax(dim=1)[:, 1] for layer in self.classifiers], dim=1)

    def expert_boxes(self, shared: Tensor, boxes: Tensor) -> Tensor:
        """Return each expert's regressed box, (r, experts, 4), from head features and the boxes they pool."""
        return torch.stack([decode_boxes(layer(shared), boxes) for layer in self.regressors], dim=1)

    def proposal_networks(self) -> list[ProposalNetwork]:
        """Return `proposers` with their type."""
        return [network for network in self.proposers if isinstance(network, ProposalNetwork)]

    def _proposals_of_expert(
        self, network: ProposalNetwork, features: Tensor, image_sizes: Sequence[tuple[int, int]], limit: int
    ) -> list[BoxSet]:
        """Return the best places of each image as boxes that are large enough, best first."""
        scored = network.score(features)
        count = scored.scores.shape[1]
        best, places = scored.scores.topk(min(limit, count))
        first_places = torch.arange(len(features), device=places.device)[:, None] * count
        boxes = network.boxes_at(scored.context, (first_places + places).flatten()).view(*places.shape, 4)
        found = []
        for scores, own, size in zip(best, boxes, image_sizes, strict=True):
            clipped = ops.clip_boxes(own, size)
            large = ((clipped[:, 2:] - clipped[:, :2]) >= self.config.proposal.min_side).all(dim=1)
            kept = large & (scores > 0)
            found.append(BoxSet(clipped[kept], scores[kept]))
        return found

    def _pooled(self, experts: Sequence[BoxSet], limit: int) -> BoxSet:
        boxes = torch.cat([found.boxes for found in experts])
        scores = torch.cat([found.scores for found in experts])
        kept = ops.non_maximum_suppression(boxes, scores, self.config.proposal.nms, limit)
        return BoxSet(boxes[kept], scores[kept])
