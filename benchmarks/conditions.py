"""The conditions every benchmark runs under, the same for both sides of each comparison."""

import os
import platform
import sys

import torch

from lens_engine.jobs.environment import MALLOC_SETTINGS, THREAD_SETTINGS, process_environment
from lens_engine.phantom.patient import GENERATOR_VERSION

SETTINGS = (*MALLOC_SETTINGS, *THREAD_SETTINGS, "OMP_NUM_THREADS")
"""Environment variables that decide about speed and have to be set before a process starts."""


def ensure_environment() -> None:
    """Start this program anew with the environment of a worker, unless it runs in one already.

    Without it glibc maps every large buffer anew, which costs up to 1.7 times and hits both sides differently.
    """
    wanted = process_environment()
    if any(os.environ.get(name) != wanted[name] for name in SETTINGS):
        os.execve(sys.executable, sys.orig_argv, wanted)


def conditions() -> dict[str, str | int | float]:
    """Return what a reader has to know about the machine and its load."""
    return {
        "machine": platform.machine(),
        "matrix units": torch.backends.cpu.get_cpu_capability() + (" AMX" if _has_amx() else ""),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "phantom generator": GENERATOR_VERSION,
        "load": round(os.getloadavg()[0], 2),
        **{name: os.environ.get(name, "") for name in SETTINGS},
    }


def _has_amx() -> bool:
    return bool(torch.cpu._is_amx_tile_supported())
