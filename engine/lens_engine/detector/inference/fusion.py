"""From every expert's scored boxes on slices to its detections, and to the fusion of all (algorithms 4.4).

Works on several slices at once and without asking the device for a number: sets of boxes have a fixed length, and
their unused rows the score `ABSENT`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from lens_engine.detector.config import PostConfig
from lens_engine.detector.network import ops

ABSENT = -1.0
"""Score of a row that holds no box."""


class RankedBoxes(NamedTuple):
    """Sets of boxes in network pixels, each best first.

    Attributes
    ----------
    boxes
        (..., n, 4); all zero in rows without a box.
    scores
        (..., n), in [0, 1]; `ABSENT` in rows without a box, which stand behind all others.
    """

    boxes: Tensor
    scores: Tensor

    @property
    def counts(self) -> Tensor:
        """Number of boxes of every set, int64 (...)."""
        return (self.scores > ABSENT).sum(dim=-1)


class SliceDetections(NamedTuple):
    """Detections on b slices.

    Attributes
    ----------
    experts
        A set for each expert, (b, experts, n).
    fused
        What survives among the boxes of all experts, (b, m); the highest score wins, scores are not averaged.
    """

    experts: RankedBoxes
    fused: RankedBoxes


def fuse_experts(boxes: Tensor, scores: Tensor, size: tuple[int, int], post: PostConfig) -> SliceDetections:
    """Select each expert's detections on b slices and fuse them.

    Parameters
    ----------
    boxes
        (b, r, experts, 4), regressed by each expert from the same r proposals.
    scores
        (b, r, experts), in [0, 1]; `ABSENT` for proposals that are none.
    size
        Height and width of the slices without padding, for clipping.
    """
    by_expert = ops.clip_boxes(boxes, size).transpose(1, 2)
    is_box = (by_expert[..., 2:] > by_expert[..., :2]).all(dim=-1)
    own = scores.transpose(1, 2)
    possible = is_box & (own >= post.score_threshold)
    return fuse_boxes(select(by_expert, own, possible, post.nms, post.per_slice), post)


def fuse_boxes(experts: RankedBoxes, post: PostConfig) -> SliceDetections:
    """Fuse the detections (b, experts, n) of the experts on b slices."""
    boxes, scores = experts.boxes.flatten(1, 2), experts.scores.flatten(1, 2)
    return SliceDetections(experts, select(boxes, scores, scores > ABSENT, post.nms, scores.shape[1]))


def select(boxes: Tensor, scores: Tensor, possible: Tensor, threshold: float, limit: int) -> RankedBoxes:
    """Return the at most `limit` survivors of NMS in each set (..., n) of boxes, of those that are possible.

    Equal scores are ranked by their row.
    """
    ranked, order = scores.masked_fill(~possible, ABSENT).sort(dim=-1, descending=True, stable=True)
    is_box = ranked > ABSENT
    sorted_boxes = take_rows(boxes, order).masked_fill(~is_box[..., None], 0)
    alive = ops.ranked_survivors(sorted_boxes, threshold) & is_box
    first = (~alive).to(torch.uint8).argsort(dim=-1, stable=True)[..., :limit]
    is_kept = alive.gather(-1, first)
    kept = take_rows(sorted_boxes, first).masked_fill(~is_kept[..., None], 0)
    return RankedBoxes(kept, ranked.gather(-1, first).masked_fill(~is_kept, ABSENT))


def take_rows(boxes: Tensor, rows: Tensor) -> Tensor:
    """Return rows (..., k) of each set of boxes (..., n, 4)."""
    return boxes.gather(-2, rows[..., None].expand(*rows.shape, boxes.shape[-1]))
