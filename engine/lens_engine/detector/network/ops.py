"""NMS and ROIAlign in plain torch: no compiled extension, and no torchvision on the CPU path (see `cuda_kernels`).

Boxes are (n, 2 d) with d = 2 `[x1, y1, x2, y2]` or d = 3 `[x1, y1, z1, x2, y2, z2]`, half-open edges, on the device of
the tensors they go with. ROIAlign and clipping are for boxes on slices.
"""

import torch
from torch import Tensor
from torch.nn import functional

from lens_engine.detector.network import cuda_kernels

NMS_BLOCK = 256
"""Boxes that are compared at a time; bounds the memory of `non_maximum_suppression`."""
SAMPLES_PER_BIN = 2
"""Bilinear samples along each side of a ROIAlign bin (sampling ratio of the published code)."""


def box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union of every pair, (..., n, m), of boxes (..., n, 2 d) and (..., m, 2 d)."""
    dimensions = boxes.shape[-1] // 2
    shared = _shared_side(boxes, others, 0)
    for axis in range(1, dimensions):
        shared.mul_(_shared_side(boxes, others, axis))
    united = (_measures(boxes)[..., :, None] + _measures(others)[..., None, :]).sub_(shared)
    # Where nothing is united nothing is shared, and any divisor gives 0.
    return shared.div_(united.clamp_(min=torch.finfo(united.dtype).tiny))


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
    by_kernel = cuda_kernels.suppress(boxes, scores, threshold)
    if by_kernel is not None:
        return by_kernel[:limit]
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
        alive = ranked_survivors(block, threshold)
        survivors = torch.cat([survivors, block[alive]])
        kept.append(rows[alive])
        if limit is not None and len(survivors) >= limit:
            break
    result = torch.cat(kept) if kept else order[:0]
    return order[result][:limit]


def ranked_survivors(ranked: Tensor, threshold: float) -> Tensor:
    """Return which boxes (..., n, 2 d), best first, survive NMS among each other, bool (..., n).

    Suppression is resolved by repetition: after round r the verdict on every box with at most r better boxes in its
    chain is final, so the first round that changes nothing is the sequential result. Boxes without extent touch none.
    """
    suppresses = torch.triu(box_iou(ranked, ranked) > threshold, diagonal=1).to(torch.float32)
    alive = torch.ones(ranked.shape[:-1], device=ranked.device)
    while True:
        following = (torch.matmul(alive[..., None, :], suppresses)[..., 0, :] == 0).to(torch.float32)
        if torch.equal(following, alive):
            return alive.bool()
        alive = following


def roi_align(features: Tensor, boxes: list[Tensor], pooled: int, scale: float, *, aligned: bool = False) -> Tensor:
    """Average bilinear samples of a feature map in `pooled` x `pooled` bins of each box.

    Every sample is a weighted sum of four rows of the map seen as a table (pixel, channel), so that a bin is one
    `embedding_bag` of sixteen; exact, differentiable, and much faster than gathering.

    Parameters
    ----------
    features
        (b, channels, h, w).
    boxes
        Boxes of each of the b maps, (n_i, 4), in image pixels.
    scale
        Cells per image pixel.
    aligned
        Whether cell i has its centre at i + 0.5. The published code takes i (legacy coordinates).

    Returns
    -------
    Tensor
        (sum of n_i, channels, pooled, pooled), in the order of `boxes`.
    """
    by_kernel = cuda_kernels.roi_align(features, boxes, pooled, scale, SAMPLES_PER_BIN, aligned=aligned)
    if by_kernel is not None:
        return by_kernel
    batch, channels, height, width = features.shape
    exact = torch.promote_types(features.dtype, torch.float32)  # half precision would round a place to half a cell
    every = torch.cat(boxes).to(exact)
    image = torch.repeat_interleave(
        torch.arange(batch, device=features.device), torch.tensor([len(b) for b in boxes], device=features.device)
    )
    offset = 0.5 if aligned else 0.0
    low = every[:, :2] * scale - offset
    extent = every[:, 2:] * scale - offset - low
    if not aligned:
        extent = extent.clamp(min=1)  # the published code makes every box at least one cell large
    count = pooled * SAMPLES_PER_BIN
    steps = (torch.arange(count, device=features.device, dtype=exact) + 0.5) / count
    points = low[:, None, :] + steps[None, :, None] * extent[:, None, :]  # (n, count, 2) as x, y
    column, x_weight = _linear_taps(points[..., 0], width)
    row, y_weight = _linear_taps(points[..., 1], height)
    first_cell = (image[:, None, None] * height + row) * width
    index = _as_bags(first_cell, pooled, is_row=True) + _as_bags(column, pooled, is_row=False)
    y_share = y_weight / SAMPLES_PER_BIN**2
    weight = _as_bags(y_share, pooled, is_row=True) * _as_bags(x_weight, pooled, is_row=False)
    bag = (-1, SAMPLES_PER_BIN**2 * 4)
    table = features.permute(0, 2, 3, 1).reshape(-1, channels).contiguous()  # rows apart cost fifty times as much
    bins = functional.embedding_bag(
        index.view(bag), table, per_sample_weights=weight.to(table.dtype).view(bag), mode="sum"
    )
    return bins.view(len(every), pooled, pooled, channels).permute(0, 3, 1, 2)


def _shared_side(boxes: Tensor, others: Tensor, axis: int) -> Tensor:
    """Return the length along one axis that every pair shares, (..., n, m)."""
    dimensions = boxes.shape[-1] // 2
    low = torch.maximum(boxes[..., :, None, axis], others[..., None, :, axis])
    high = torch.minimum(boxes[..., :, None, axis + dimensions], others[..., None, :, axis + dimensions])
    return high.sub_(low).clamp_(min=0)


def _measures(boxes: Tensor) -> Tensor:
    """Return the area or volume of every box (..., n)."""
    dimensions = boxes.shape[-1] // 2
    return (boxes[..., dimensions:] - boxes[..., :dimensions]).clamp(min=0).prod(dim=-1)


def _linear_taps(points: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Return indices and weights (n, count, 2) of linear interpolation; weight 0 for points outside [-1, length]."""
    inside = ((points >= -1) & (points <= length)).to(points.dtype)
    clamped = points.clamp(0, length - 1)
    low = clamped.floor()
    share = clamped - low
    index = torch.stack([low, (low + 1).clamp(max=length - 1)], dim=-1).long()
    return index, torch.stack([1 - share, share], dim=-1) * inside[..., None]


def _as_bags(taps: Tensor, pooled: int, *, is_row: bool) -> Tensor:
    """Return taps (n, count, 2) of one side in the shape of bags, (n, bins, bins, samples, samples, 2, 2)."""
    count = len(taps)
    if is_row:
        return taps.reshape(count, pooled, 1, SAMPLES_PER_BIN, 1, 2, 1)
    return taps.reshape(count, 1, pooled, 1, SAMPLES_PER_BIN, 1, 2)
