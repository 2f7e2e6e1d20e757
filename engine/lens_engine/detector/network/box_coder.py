"""The one code between a box and its correction relative to a proposal (algorithms 4.3), with half-open sizes."""

import math

import torch
from torch import Tensor

MAX_LOG_SCALE = math.log(1000 / 16)
"""No regression makes a box more than this much larger (natural logarithm)."""


def encode_boxes(boxes: Tensor, proposals: Tensor) -> Tensor:
    """Return the deltas (n, 4) `[dx, dy, log width, log height]` that turn `proposals` into `boxes`, both (n, 4)."""
    own, target = _centre_form(proposals), _centre_form(boxes)
    shift = (target[:, :2] - own[:, :2]) / own[:, 2:]
    return torch.cat([shift, torch.log(target[:, 2:] / own[:, 2:])], dim=1)


def decode_boxes(deltas: Tensor, proposals: Tensor) -> Tensor:
    """Apply deltas (n, 4) to proposals (n, 4); inverse of `encode_boxes`."""
    own = _centre_form(proposals)
    centre = own[:, :2] + deltas[:, :2] * own[:, 2:]
    half = own[:, 2:] * torch.exp(deltas[:, 2:].clamp(max=MAX_LOG_SCALE)) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def _centre_form(boxes: Tensor) -> Tensor:
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
    return torch.cat([boxes[:, :2] + (boxes[:, 2:] - boxes[:, :2]) / 2, sides], dim=1)
