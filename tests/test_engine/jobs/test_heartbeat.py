import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from lens_engine.jobs.heartbeat import STALE_SECONDS, is_alive
from lens_engine.store.workers import WorkerRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def worker(pid=None, host=None, silent_seconds=0.0):
    seen = NOW - timedelta(seconds=silent_seconds)
    return WorkerRecord("w", host or socket.gethostname(), pid or os.getpid(), "cpu", seen, seen, None)


@pytest.mark.parametrize(
    ("silent_seconds", "alive"), [(0, True), (STALE_SECONDS - 1, True), (STALE_SECONDS + 1, False)]
)
@pytest.mark.parametrize("host", [None, "elsewhere"])
def test_a_worker_that_is_silent_for_long_is_dead(host, silent_seconds, alive):
    assert is_alive(worker(host=host, silent_seconds=silent_seconds), NOW) is alive


def test_a_worker_of_this_host_without_a_process_is_dead_at_once():
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    assert not is_alive(worker(pid=ended.pid), NOW)


def test_a_process_number_means_nothing_on_another_host():
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    assert is_alive(worker(pid=ended.pid, host="elsewhere"), NOW)
