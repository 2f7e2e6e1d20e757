"""What to do where the device of a task fails: smaller portions where its memory is short, words for anything else."""

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from lens_engine.worker.messages import Failed

logger = logging.getLogger("lens_engine.tasks.device_errors")

Result = TypeVar("Result")

_SHORT_OF_MEMORY = ("out of memory", "ALLOC_FAILED")
_OF_A_DEVICE = ("CUDA", "cuDNN", "CUDNN", "CUBLAS", "NVRTC", "HIP error", "MPS")
_MEANINGS = (
    (
        "no kernel image",
        "this installation of PyTorch was not made for this GPU",
        "Install a build of PyTorch for it, see pytorch.org, and start the worker again",
    ),
    (
        "driver",
        "the driver of the GPU does not fit this installation of PyTorch",
        "Update the driver, or install a build of PyTorch for it",
    ),
    (
        "busy or unavailable",
        "another program has the GPU for itself",
        "End that program, or start the worker on another GPU with CUDA_VISIBLE_DEVICES",
    ),
    (
        "invalid device ordinal",
        "there is no GPU of that number",
        "Correct CUDA_VISIBLE_DEVICES; 'nvidia-smi -L' lists what is there",
    ),
    ("ECC", "the memory of the GPU is damaged", "Use another GPU, and tell whoever looks after this computer"),
    (
        "illegal memory access",
        "a program reached for memory of the GPU that it does not have",
        "Let the job go on: what is done stays. If it repeats, report it as a defect with the job's log",
    ),
    (
        "device-side assert",
        "a calculation on the GPU met an impossible value",
        "Let the job go on: what is done stays. If it repeats, report it as a defect with the job's log",
    ),
)


def within_memory(attempt: Callable[[], Result], shrink: Callable[[], bool]) -> Result:
    """Return what an attempt gives, after as many smaller ones as the memory of the device asks for.

    Parameters
    ----------
    shrink
        Makes the next attempt smaller; False where it cannot be.
    """
    while True:
        try:
            return attempt()
        except RuntimeError as error:
            if not is_short_of_memory(error) or not shrink():
                raise
        # Behind the handler: until here the trace of the error holds on to what filled the memory.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def is_short_of_memory(error: RuntimeError) -> bool:
    """Return whether an error says that the memory of the device does not suffice."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _SHORT_OF_MEMORY)


def in_words(error: RuntimeError) -> Failed | None:
    """Return what an error of the device means, for people; None for one that is not the device's."""
    said = str(error)
    if is_short_of_memory(error):
        return _OUT_OF_MEMORY
    if not any(name in said for name in _OF_A_DEVICE):
        return None
    for words, meaning, remedy in _MEANINGS:
        if words in said:
            return Failed(happened=f"The GPU failed: {meaning}", expected="It should have worked", remedy=remedy)
    return Failed(
        happened=f"The GPU failed ({said.splitlines()[0]})",
        expected="It should have worked",
        remedy="Let the job go on: what is done stays. If it repeats, start the computer again or use another GPU",
    )


_OUT_OF_MEMORY = Failed(
    happened="The GPU has not enough memory for this task, even in the smallest portions",
    expected="It should fit beside whatever else runs there",
    remedy="End other programs on the GPU, or start the worker on another one with CUDA_VISIBLE_DEVICES",
)
