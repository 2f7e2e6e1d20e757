"""torchvision's CUDA kernels where they import, the one place that knows torchvision.

Its wheels do not import beside a CPU build of torch, and on a CPU ours are faster; so it is asked for on CUDA only.
`kernels_in_use` says what computes.
"""

from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

_POOLED_TYPES = {torch.float32, torch.float64, torch.float16}
"""Features that torchvision's ROIAlign takes; bfloat16 is not among them."""


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
    if kernels is None or features.dtype not in _POOLED_TYPES:
        return None
    own = [image.to(features.dtype) for image in boxes]
    bins: Tensor = kernels.roi_align(features, own, pooled, scale, samples, aligned)
    return bins


class Kernels(StrEnum):
    """What computes NMS and ROIAlign."""

    PLAIN = "plain torch"
    TORCHVISION = "torchvision"


class KernelsInUse(NamedTuple):
    """What computes each of the two on a device."""

    suppression: Kernels
    roi_align: Kernels


def kernels_in_use(device: torch.device, dtype: torch.dtype) -> KernelsInUse:
    """Return what computes NMS, and ROIAlign of features of that type, on a device."""
    if device.type != "cuda" or torchvision_ops() is None:
        return KernelsInUse(Kernels.PLAIN, Kernels.PLAIN)
    return KernelsInUse(Kernels.TORCHVISION, Kernels.TORCHVISION if dtype in _POOLED_TYPES else Kernels.PLAIN)


def kernels_in_words(device: torch.device, dtype: torch.dtype) -> str:
    """Return what computes both, and what to do about it where it is the slower way, as a sentence."""
    suppression, roi_align = kernels_in_use(device, dtype)
    words = f"NMS by {suppression}, ROIAlign by {roi_align}"
    if device.type == "cuda" and suppression is Kernels.PLAIN:
        return f"{words}, slower than the kernels of torchvision: pip install 'lens-napari[cuda]'"
    return words


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
