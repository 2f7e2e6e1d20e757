"""Compile parts of a network, where the machine has what that takes."""

import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import cast

import torch

from lens_engine.detector.inference.shared_features import Compute
from lens_engine.errors import ConfigError


def compiler_for(device: torch.device) -> Callable[[Compute], Compute]:
    """Return what compiles a function on tensors of a device; the first call of the function takes the time.

    Raises
    ------
    ConfigError
        If there is no compiler for the device.
    """
    if device.type == "cuda":
        missing = None if importlib.util.find_spec("triton") else "the package triton"
    else:
        compiler = os.environ.get("CXX", "g++")
        missing = None if shutil.which(compiler) else f"the C++ compiler {compiler}"
    if missing is not None:
        raise ConfigError(
            f"The network was to be compiled, but {missing} is missing",
            "A compiler for the device is needed",
            "Install it (for example: apt-get install g++), or do not compile",
        )
    return _compiled


def _compiled(compute: Compute) -> Compute:
    # Weights never change in inference; frozen, they are laid out once for the convolutions that read them.
    return cast(Compute, torch.compile(compute, options={"freezing": True}))
