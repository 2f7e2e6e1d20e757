"""ROIAlign and NMS against what others use, with equal results."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from monai.data.box_utils import non_max_suppression
from torch import Tensor
from torch.nn import functional

from benchmarks.detector.subjects import crowded_boxes
from benchmarks.measure import Comparison, compare
from lens_engine import boxes as plain_boxes
from lens_engine.detector.network import ops
from lens_engine.detector.network.cuda_kernels import torchvision_ops

BOXES, CHANNELS, CELLS = 300, 512, 128
POOLED, SCALE = 7, 0.25
SUPPRESSED = 5000
SAME = 1e-4
"""Largest difference between two ROIAligns of features from N(0, 1)."""

Pool = Callable[[Tensor, Tensor], Tensor]


def run(*, full: bool) -> list[Comparison]:
    """Return all comparisons."""
    repeats = 15 if full else 5
    return [*_pooling(repeats), *_suppression(repeats)]


@torch.inference_mode()
def _pooling(repeats: int) -> list[Comparison]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, CHANNELS, CELLS, CELLS, generator=generator)
    features = features.contiguous(memory_format=torch.channels_last)
    low = torch.rand(BOXES, 2, generator=generator) * 480 - 10  # some stick out
    boxes = torch.cat([low, low + torch.rand(BOXES, 2, generator=generator) * 80 + 4], dim=1)

    def ours(maps: Tensor, places: Tensor) -> Tensor:
        return ops.roi_align(maps, [places], POOLED, SCALE)

    rows = []
    for name, other, goal in _poolers():
        difference = float((other(features, boxes) - ours(features, boxes)).abs().max())
        if difference > SAME:
            raise ValueError(f"{name} differs by {difference:.1e}: its time means nothing")
        title = f"ROIAlign, {BOXES} boxes, {CHANNELS} channels, {CELLS} x {CELLS}"
        row = compare(title, name, partial(other, features, boxes), partial(ours, features, boxes), repeats)
        rows.append(row.wanted(goal, f"largest difference {difference:.0e}"))
    return rows


def _poolers() -> list[tuple[str, Pool, float]]:
    poolers: list[tuple[str, Pool, float]] = [("grid_sample", by_grid_sample, 10.0), ("gather", by_gather, 0.0)]
    torchvision = torchvision_ops()
    if torchvision is not None:
        poolers.append(("torchvision", lambda maps, boxes: torchvision.roi_align(maps, [boxes], POOLED, SCALE, 2), 0.0))
    return poolers


def by_grid_sample(features: Tensor, boxes: Tensor) -> Tensor:
    """Return ROIAlign made of grid_sample and an average."""
    x, y = _points(boxes)
    height, width = features.shape[2:]
    grid_x = x.clamp(0, width - 1)[:, None, :].expand(-1, y.shape[1], -1) * 2 / (width - 1) - 1
    grid_y = y.clamp(0, height - 1)[:, :, None].expand(-1, -1, x.shape[1]) * 2 / (height - 1) - 1
    grid = torch.stack([grid_x, grid_y], dim=-1).view(1, -1, x.shape[1], 2)
    sampled = functional.grid_sample(features, grid, mode="bilinear", align_corners=True)
    sampled = sampled.view(features.shape[1], len(boxes), y.shape[1], -1).transpose(0, 1) * _inside(x, y, features)
    return functional.avg_pool2d(sampled, ops.SAMPLES_PER_BIN)


def by_gather(features: Tensor, boxes: Tensor) -> Tensor:
    """Return ROIAlign made of four gathered corners."""
    x, y = _points(boxes)
    height, width = features.shape[2:]
    x_clamped, y_clamped = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x_clamped.floor().long(), y_clamped.floor().long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    dx, dy = (x_clamped - left)[:, None, :], (y_clamped - top)[:, :, None]
    plane = features[0]

    def at(rows: Tensor, columns: Tensor) -> Tensor:
        return plane[:, rows[:, :, None], columns[:, None, :]].transpose(0, 1)

    upper = at(top, left) * (1 - dx[:, None]) + at(top, right) * dx[:, None]
    lower = at(bottom, left) * (1 - dx[:, None]) + at(bottom, right) * dx[:, None]
    sampled = (upper * (1 - dy[:, None]) + lower * dy[:, None]) * _inside(x, y, features)
    return functional.avg_pool2d(sampled, ops.SAMPLES_PER_BIN)


def _points(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each box is sampled, x and y (n, samples) in cells."""
    low = boxes[:, :2] * SCALE
    extent = (boxes[:, 2:] * SCALE - low).clamp(min=1)
    count = POOLED * ops.SAMPLES_PER_BIN
    steps = (torch.arange(count) + 0.5) / count
    points = low[:, :, None] + extent[:, :, None] * steps
    return points[:, 0], points[:, 1]


def _inside(x: Tensor, y: Tensor, features: Tensor) -> Tensor:
    height, width = features.shape[2:]
    columns, rows = (x >= -1) & (x <= width), (y >= -1) & (y <= height)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _suppression(repeats: int) -> list[Comparison]:
    rows = []
    for dimensions, per_lesion, goal in ((3, 8, 10.0), (3, 2, 10.0), (2, 8, 0.0)):
        boxes, scores = crowded_boxes(SUPPRESSED, dimensions, per_lesion)
        tensors = torch.from_numpy(boxes), torch.from_numpy(scores)

        def ours(boxes: np.ndarray = boxes, scores: np.ndarray = scores) -> np.ndarray:
            return plain_boxes.non_maximum_suppression(boxes, scores, 0.5)

        def in_torch(tensors: tuple[Tensor, Tensor] = tensors) -> Tensor:
            return ops.non_maximum_suppression(*tensors, 0.5)

        def monai(tensors: tuple[Tensor, Tensor] = tensors) -> np.ndarray | Tensor:
            return non_max_suppression(*tensors, 0.5)

        kept = monai().tolist()
        if kept != ours().tolist() or kept != in_torch().tolist():
            raise ValueError("MONAI keeps other boxes: its time means nothing")
        note = f"{len(kept)} kept, the same list"
        title = f"NMS of {SUPPRESSED} boxes in {dimensions}D, {per_lesion} for each lesion"
        rows.append(compare(title, "MONAI", monai, ours, repeats=min(repeats, 5)).wanted(goal, note))
        if per_lesion == 8:
            rows.append(compare(f"{title}, torch", "MONAI", monai, in_torch, repeats=min(repeats, 5)).wanted(0.0, note))
    return rows
