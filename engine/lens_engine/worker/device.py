"""Which GPU the jobs of a worker compute on, and the lock that keeps it for one of them at a time.

All workers of one computer and account respect it, of whatever project: two networks on one GPU end for lack of memory
or slow each other down. Workers name a GPU as CUDA_VISIBLE_DEVICES does, all of them by number or all by UUID.
"""

import re
import shutil
import socket
from collections.abc import Mapping

import platformdirs

from lens_engine.worker.file_lock import FileLock

VISIBLE = "CUDA_VISIBLE_DEVICES"
NO_GPU = ("", "-1")
DRIVER_TOOL = "nvidia-smi"
"""Comes with the driver: where there is none, there is no GPU that PyTorch could use."""


def gpu_of(environment: Mapping[str, str]) -> str | None:
    """Return the name of the first GPU that a process with this environment sees; None for one that has none."""
    visible = environment.get(VISIBLE)
    if visible is None:
        return "0" if shutil.which(DRIVER_TOOL) is not None else None
    first = visible.split(",")[0].strip()
    return None if first in NO_GPU else first


def gpu_lock(gpu: str) -> FileLock:
    """Return the lock of one GPU of this computer; whoever holds it computes there."""
    name = re.sub(r"[^\w.-]", "_", f"{socket.gethostname()}-gpu-{gpu}")
    return FileLock(platformdirs.user_state_path("lens-napari") / f"{name}.lock", f"compute on GPU {gpu}")
