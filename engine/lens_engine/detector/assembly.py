"""The detector itself: backbone, one proposal network per expert, a shared head and one output layer per expert."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lens_engine.detector import ops
from lens_engine.detector.afp import AnchorFreeProposals, decode_cells
from lens_engine.detector.backbone import STRIDE, DenseBackbone
from lens_engine.detector.box_coder import decode_boxes
from lens_engine.detector.config import DetectorConfig
from lens_engine.detector.head import SharedHead, classifier, regressor


class BoxSet(NamedTuple):
    """Boxes (n, 4) in network pixels of one image, and their scores (n,)."""

    boxes: Tensor
    scores: Tensor


@dataclass(frozen=True, slots=True)
class ProposalLimits:
    """How many proposals are kept: best cells per expert before NMS, pooled boxes per image after it."""

    pre_nms: int
    post_nms: int


class LensDetector(nn.Module):
    """LENS: several data set experts on one backbone (spec 3, 4.1, 4.2).

    Attributes
    ----------
    afps, classifiers, regressors
        One for each of `config.experts`, in that order.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        channels, width = config.backbone.fpn_channels, config.head.fc_width
        self.backbone = DenseBackbone(config.backbone)
        self.afps = nn.ModuleList([AnchorFreeProposals(channels, config.proposal.width) for _ in config.experts])
        self.head = SharedHead(channels, config.head.pooled, width)
        self.classifiers = nn.ModuleList([classifier(width) for _ in config.experts])
        self.regressors = nn.ModuleList([regressor(width) for _ in config.experts])
        # A fifth faster on a CPU, and what ROIAlign reads without a copy.
        for kernel in (parameter for parameter in self.parameters() if parameter.dim() == 4):
            kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)

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
        """Pool the proposals of all experts for each image (spec 4.2), without gradient.

        Sizes are regressed only at the cells that are kept, which gives the same boxes.

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
        scores = [afp.centerness(features).flatten(1).sigmoid() for afp in self._proposal_networks()]
        return [
            self._proposals_of_image(features[image], [score[image] for score in scores], size, limits)
            for image, size in enumerate(image_sizes)
        ]

    def roi_features(self, features: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """Pool boxes (n_i, 4) of each image to (sum of n_i, channels, pooled, pooled)."""
        return ops.roi_align(features, list(boxes), self.config.head.pooled, 1 / STRIDE)

    def expert_scores(self, shared: Tensor) -> Tensor:
        """Return each expert's probability of a lesion, (r, experts), from head features (r, width)."""
        return torch.stack([layer(shared).softmax(dim=1)[:, 1] for layer in self.classifiers], dim=1)

    def expert_boxes(self, shared: Tensor, boxes: Tensor) -> Tensor:
        """Return each expert's regressed box, (r, experts, 4), from head features and the boxes they pool."""
        return torch.stack([decode_boxes(layer(shared), boxes) for layer in self.regressors], dim=1)

    def _proposal_networks(self) -> list[AnchorFreeProposals]:
        return [afp for afp in self.afps if isinstance(afp, AnchorFreeProposals)]

    def _proposals_of_image(
        self, features: Tensor, scores: list[Tensor], size: tuple[int, int], limits: ProposalLimits
    ) -> BoxSet:
        pooled_boxes, pooled_scores = [], []
        for afp, score in zip(self._proposal_networks(), scores, strict=True):
            best, cells = score.topk(min(limits.pre_nms, len(score)))
            boxes = ops.clip_boxes(decode_cells(cells, afp.sizes_at(features, cells), features.shape[2]), size)
            large = ((boxes[:, 2:] - boxes[:, :2]) >= self.config.proposal.min_side).all(dim=1)
            pooled_boxes.append(boxes[large])
            pooled_scores.append(best[large])
        boxes, scores_of_all = torch.cat(pooled_boxes), torch.cat(pooled_scores)
        kept = ops.non_maximum_suppression(boxes, scores_of_all, self.config.proposal.nms, limits.post_nms)
        return BoxSet(boxes[kept], scores_of_all[kept])
