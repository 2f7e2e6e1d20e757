"""From every expert's scored boxes on a slice to its detections, and to the fusion of all (spec 4.4)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lens_engine.detector import ops
from lens_engine.detector.assembly import BoxSet
from lens_engine.detector.config import PostConfig


class SliceDetections(NamedTuple):
    """Detections on one slice, in network pixels, best first.

    Attributes
    ----------
    experts
        One set for each expert.
    fused
        What survives among the boxes of all experts; the highest score wins, scores are not averaged.
    """

    experts: tuple[BoxSet, ...]
    fused: BoxSet


def fuse_experts(boxes: Tensor, scores: Tensor, size: tuple[int, int], post: PostConfig) -> SliceDetections:
    """Select each expert's detections on one slice and fuse them.

    Parameters
    ----------
    boxes
        (r, experts, 4), regressed by each expert from the same r proposals.
    scores
        (r, experts), in [0, 1].
    size
        Height and width of the image without padding, for clipping.
    """
    clipped = ops.clip_boxes(boxes, size)
    return fuse_boxes([BoxSet(clipped[:, i], scores[:, i]) for i in range(scores.shape[1])], post)


def fuse_boxes(found: Sequence[BoxSet], post: PostConfig) -> SliceDetections:
    """Select each expert's detections among boxes of its own, already clipped, and fuse them."""
    experts = tuple(_select(own.boxes, own.scores, post) for own in found)
    pooled = torch.cat([expert.boxes for expert in experts])
    pooled_scores = torch.cat([expert.scores for expert in experts])
    kept = ops.non_maximum_suppression(pooled, pooled_scores, post.nms)
    return SliceDetections(experts, BoxSet(pooled[kept], pooled_scores[kept]))


def _select(boxes: Tensor, scores: Tensor, post: PostConfig) -> BoxSet:
    possible = (scores >= post.score_threshold) & (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    boxes, scores = boxes[possible], scores[possible]
    kept = ops.non_maximum_suppression(boxes, scores, post.nms, post.per_slice)
    return BoxSet(boxes[kept], scores[kept])
