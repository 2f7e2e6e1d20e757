"""Which precision a detector computes faster with on a device, measured on what inference does most."""

import time

import torch
from torch.nn import functional

WORTH = 1.5
"""bf16 finds other boxes: it has to be so many times as fast to be chosen without being asked for."""

_CHANNELS_IN, _CHANNELS_OUT, _SIDE = 512, 256, 64
"""The first convolution of a proposal network, on a quarter of a published slice."""
_WARM, _TIMED = 2, 5


def bf16_speedup(device: torch.device) -> float:
    """Return how many times as fast as fp32 bf16 is; below 1 it is slower. Takes about a second."""
    seconds = [_best_seconds(device, dtype) for dtype in (torch.float32, torch.bfloat16)]
    return seconds[0] / seconds[1]


@torch.inference_mode()
def _best_seconds(device: torch.device, dtype: torch.dtype) -> float:
    def laid_out(*shape: int) -> torch.Tensor:
        values = torch.ones(shape, device=device, dtype=dtype)
        return values.contiguous(memory_format=torch.channels_last)

    maps, weights = laid_out(1, _CHANNELS_IN, _SIDE, _SIDE), laid_out(_CHANNELS_OUT, _CHANNELS_IN, 3, 3)
    seconds = []
    for _ in range(_WARM + _TIMED):
        started = time.perf_counter()
        functional.conv2d(maps, weights, padding=1)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds[_WARM:])
