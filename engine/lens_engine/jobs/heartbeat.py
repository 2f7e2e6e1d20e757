"""Who works on a project: the rows that workers keep fresh, and what a stale one means."""

import socket
from datetime import UTC, datetime, timedelta

import psutil

from lens_engine.store.workers import WorkerRecord, Workers

BEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
"""A worker of another host that was silent for so long is dead."""


def living_workers(workers: Workers) -> tuple[WorkerRecord, ...]:
    """Return the workers that are alive."""
    return tuple(record for record in workers.all() if is_alive(record))


def is_alive(worker: WorkerRecord, now: datetime | None = None) -> bool:
    """Return whether a worker is at work: its process exists, or on another host its row is fresh."""
    if (now or datetime.now(UTC)) - worker.last_seen > timedelta(seconds=STALE_SECONDS):
        return False
    return worker.host != socket.gethostname() or _is_running(worker.pid)


def _is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
