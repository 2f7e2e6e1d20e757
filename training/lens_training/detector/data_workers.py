"""How many processes prepare batches where nobody said it: what cores and memory allow."""

import multiprocessing
import os

import psutil

WORKER_BYTES = 2**30
"""Memory that a worker has for itself: measured are 0.08 GiB from single slices and 0.33 GiB while a scan of 500 slices
is read whole, and prepared batches come on top."""
MOST_WORKERS = 16
"""For each device; more bring nothing where samples read single slices."""
_MEMORY_SHARE = 0.5


def data_workers(asked: int | None, devices: int, *, has_gpu: bool) -> int:
    """Return how many processes prepare the batches of one device.

    Without a GPU the network itself needs every core, and there are none. With one, the cores that this process may use
    are shared by the devices of the machine; each keeps one for the process that learns. Together they take at most
    half of the memory that is free.

    Parameters
    ----------
    asked
        What somebody said, which is taken as it is; None where nobody did.
    devices
        Processes that learn on this machine.
    """
    if asked is not None:
        return asked
    if not has_gpu or "fork" not in multiprocessing.get_all_start_methods():
        return 0
    by_cores = _usable_cores() // devices - 1
    by_memory = int(psutil.virtual_memory().available * _MEMORY_SHARE / devices / WORKER_BYTES)
    return max(1, min(by_cores, by_memory, MOST_WORKERS))


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
