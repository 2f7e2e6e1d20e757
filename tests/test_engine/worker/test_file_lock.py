import subprocess
import sys
import time

import pytest
from support.processes.lockless import refuse_all_locks
from support.processes.waiting import FOR_EVER_SECONDS

from lens_engine.errors import JobError, NoLocksError
from lens_engine.worker.file_lock import FileLock

HOLD = (
    "import sys, time; from pathlib import Path; from lens_engine.worker.file_lock import FileLock\n"
    "with FileLock(Path(sys.argv[1]), 'hold it'): print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "x.lock")], stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_lock_that_another_process_holds_is_refused(tmp_path, holder):
    with pytest.raises(JobError, match="Only one may work here") as refusal, FileLock(tmp_path / "x.lock", "work here"):
        pass
    assert f"The process {holder.pid} already holds x.lock" in str(refusal.value)


def test_a_killed_holder_lets_go(tmp_path, holder):
    holder.kill()
    with FileLock(tmp_path / "x.lock", "work here", timeout_seconds=FOR_EVER_SECONDS):
        pass


def test_waiting_ends_after_the_timeout(tmp_path, holder):
    started = time.monotonic()
    with pytest.raises(JobError), FileLock(tmp_path / "x.lock", "work here", timeout_seconds=0.3):
        pass
    assert 0.3 <= time.monotonic() - started < FOR_EVER_SECONDS


def test_a_lock_can_be_taken_again(tmp_path):
    lock = FileLock(tmp_path / "deep" / "x.lock", "work here")
    for _ in range(2):
        with lock:
            pass


def test_a_file_system_without_locks_is_told_at_once(tmp_path, monkeypatch):
    refuse_all_locks(monkeypatch)
    with (
        pytest.raises(NoLocksError, match=r"x\.lock cannot be locked: .* Use a folder on another disk"),
        FileLock(tmp_path / "x.lock", "work here", timeout_seconds=60),
    ):
        pass
