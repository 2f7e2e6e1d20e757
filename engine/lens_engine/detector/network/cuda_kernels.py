"""torchvision's CUDA kernels where they import, the one place that knows torchvision.

Its wheels do not import beside a CPU build of torch, and on a CPU ours are faster; so it is asked for on CUDA only.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor


def suppress(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor | None:
    """Return the survivors of 2D boxes (n, 4), best first, by torchvision's kernel; None where there is none.

    Equal scores are ranked by index, as in `ops.non_maximum_suppression`.
    """
    kernels = _kernels(boxes)
    if kernels is None or boxes.shape[1] != 4:
        return None
    order = scores.argsort(descending=True, stable=True)
    # The kernel sorts once more, in no defined order of equal scores; falling ones leave it no choice.
    falling = torch.arange(len(order), 0, -1, device=boxes.device, dtype=torch.float64).to(boxes.dtype)
    kept: Tensor = kernels.nms(boxes[order], falling, threshold)
    return order[kept]


def roi_align(
    features: Tensor, boxes: list[Tensor], pooled: int, scale: float, samples: int, *, aligned: bool
) -> Tensor | None:
    """Pool boxes by torchvision's kernel as `ops.roi_align` does; None where there is none for these features."""
    kernels = _kernels(features)
    if kernels is None or features.dtype not in {torch.float32, torch.float64, torch.float16}:
        return None
    own = [image.to(features.dtype) for image in boxes]
    bins: Tensor = kernels.roi_align(features, own, pooled, scale, samples, aligned)
    return bins


@cache
def torchvision_ops() -> Any:
    """Return the module `torchvision.ops`, or None where it does not import."""
    try:
        from torchvision import ops
    except (ImportError, OSError, RuntimeError):  # a build for another torch fails in any of these ways
        return None
    return ops


def _kernels(values: Tensor) -> Any:
    return torchvision_ops() if values.is_cuda else None
