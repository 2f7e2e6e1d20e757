import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from lens_training.errors import TrainingError, TrainingStoppedError
from lens_training.running.processes.launching import run_processes
from lens_training.running.stopping import StopSignal


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    before = set(psutil.Process().children())  # torch may have started helpers that stay, such as those of its compiler
    yield
    assert not set(psutil.Process().children()) - before


@pytest.mark.slow
def test_a_process_that_cannot_even_begin_is_named_with_its_exit_code():
    with pytest.raises(TrainingError, match=r"Process [01] of 2 has ended with code 2"):
        run_processes(["fit", "--no-such-option"], 2, StopSignal())


def test_a_stop_before_the_processes_can_listen_ends_them_as_politely():
    stop = StopSignal()
    stop.listen()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(TrainingStoppedError):
        run_processes(["fit"], 2, stop)
