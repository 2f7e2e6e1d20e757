"""NMS and ROIAlign in plain torch: no compiled extension, and no torchvision on the CPU path.

Boxes are (n, 4) `[x1, y1, x2, y2]`, half-open edges, on the device of the tensors they go with.
"""

import torch
from torch import Tensor
from torch.nn import functional

NMS_BLOCK = 256
"""Boxes that are compared at a time; bounds the memory of `non_maximum_suppression`."""
SAMPLES_PER_BIN = 2
"""Bilinear samples along each side of a ROIAlign bin (sampling ratio of the published code)."""


def box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union of every pair, (n, m)."""
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = (high - low).clamp(min=0)
    shared = sides[..., 0] * sides[..., 1]
    united = _areas(boxes)[:, None] + _areas(others)[None, :] - shared
    return torch.where(united > 0, shared / united, torch.zeros_like(shared))


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return boxes (..., 4) cut at the borders of an image of `size` (height, width)."""
    height, width = size
    limits = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limits)


def non_maximum_suppression(boxes: Tensor, scores: Tensor, threshold: float, limit: int | None = None) -> Tensor:
    """Return the indices of the (at most `limit`) boxes that survive, best first, int64 (k,).

    A box is suppressed when its IoU with a better surviving box is greater than `threshold`; equal scores are ranked by
    index. Works through blocks: each is first compared with all survivors, then within itself.
    """
    order = scores.argsort(descending=True, stable=True)
    ranked = boxes[order]
    survivors = ranked[:0]
    kept: list[Tensor] = []
    for start in range(0, len(order), NMS_BLOCK):
        block = ranked[start : start + NMS_BLOCK]
        rows = torch.arange(start, start + len(block), device=boxes.device)
        if len(survivors):
            free = ~(box_iou(survivors, block) > threshold).any(dim=0)
            block, rows = block[free], rows[free]
        alive = _survivors_of_block(block, threshold)
        survivors = torch.cat([survivors, block[alive]])
        kept.append(rows[alive])
        if limit is not None and len(survivors) >= limit:
            break
    result = torch.cat(kept) if kept else order[:0]
    return order[result][:limit]


def roi_align(features: Tensor, boxes: list[Tensor], pooled: int, scale: float, *, aligned: bool = False) -> Tensor:
    """Average bilinear samples of a feature map in `pooled` x `pooled` bins of each box.

    Every sample is a weighted sum of four rows of the map seen as a table (pixel, channel), so that a bin is one
    `embedding_bag` of sixteen; exact, differentiable, and much faster than gathering.

    Parameters
    ----------
    features
        (b, channels, h, w).
    boxes
        For each of the b maps (n_i, 4), in image pixels.
    scale
        Cells per image pixel.
    aligned
        Whether cell i has its centre at i + 0.5. The published code takes i (legacy coordinates).

    Returns
    -------
    Tensor
        (sum of n_i, channels, pooled, pooled), in the order of `boxes`.
    """
    batch, channels, height, width = features.shape
    every = torch.cat(boxes).to(features.dtype)
    image = torch.repeat_interleave(
        torch.arange(batch, device=features.device), torch.tensor([len(b) for b in boxes], device=features.device)
    )
    offset = 0.5 if aligned else 0.0
    low = every[:, :2] * scale - offset
    extent = every[:, 2:] * scale - offset - low
    if not aligned:
        extent = extent.clamp(min=1)  # the published code makes every box at least one cell large
    count = pooled * SAMPLES_PER_BIN
    steps = (torch.arange(count, device=features.device, dtype=features.dtype) + 0.5) / count
    points = low[:, None, :] + steps[None, :, None] * extent[:, None, :]  # (n, count, 2) as x, y
    x_index, x_weight = _linear_taps(points[..., 0], width)
    y_index, y_weight = _linear_taps(points[..., 1], height)
    index = image.view(-1, 1, 1, 1, 1) * height + y_index[:, :, None, :, None]
    index = index * width + x_index[:, None, :, None, :]  # (n, y, x, 2, 2)
    weight = y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :] / SAMPLES_PER_BIN**2
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    bins = functional.embedding_bag(
        _as_bags(index, pooled), table, per_sample_weights=_as_bags(weight, pooled), mode="sum"
    )
    return bins.view(len(every), pooled, pooled, channels).permute(0, 3, 1, 2)


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]).clamp(min=0) * (boxes[:, 3] - boxes[:, 1]).clamp(min=0)


def _survivors_of_block(ranked: Tensor, threshold: float) -> Tensor:
    """Return which boxes of one ranked block survive each other, bool (n,).

    Suppression is resolved by repetition: after round r the verdict on every box with at most r better boxes in its
    chain is final, so the first round that changes nothing is the sequential result.
    """
    suppresses = torch.triu(box_iou(ranked, ranked) > threshold, diagonal=1).to(torch.float32)
    alive = torch.ones(len(ranked), device=ranked.device)
    while True:
        following = (alive @ suppresses == 0).to(torch.float32)
        if torch.equal(following, alive):
            return alive.bool()
        alive = following


def _linear_taps(points: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Return indices and weights (n, count, 2) of linear interpolation; weight 0 for points outside [-1, length]."""
    inside = ((points >= -1) & (points <= length)).to(points.dtype)
    clamped = points.clamp(0, length - 1)
    low = clamped.floor()
    share = clamped - low
    index = torch.stack([low, (low + 1).clamp(max=length - 1)], dim=-1).long()
    return index, torch.stack([1 - share, share], dim=-1) * inside[..., None]


def _as_bags(values: Tensor, pooled: int) -> Tensor:
    """Reorder (n, y samples, x samples, 2, 2) to one row of sixteen per bin."""
    count = len(values)
    split = values.view(count, pooled, SAMPLES_PER_BIN, pooled, SAMPLES_PER_BIN, 2, 2)
    return split.permute(0, 1, 3, 2, 4, 5, 6).reshape(count * pooled * pooled, SAMPLES_PER_BIN**2 * 4)
