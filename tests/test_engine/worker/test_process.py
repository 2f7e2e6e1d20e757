import signal
import sys

import psutil
import pytest
from support.processes.waiting import FOR_EVER_SECONDS, wait_until

from lens_engine.worker.memory_watch import MemoryStory
from lens_engine.worker.process import SupervisedProcess, unexpected_end

IGNORES_SIGTERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); "


@pytest.fixture
def run_python(tmp_path):
    started = []

    def run(code):
        started.append(SupervisedProcess([sys.executable, "-c", code], tmp_path / "log.txt"))
        return started[-1]

    yield run
    for process in started:
        process.kill_after(0.0)


def test_lines_come_through_and_errors_go_to_the_log(run_python, tmp_path):
    process = run_python("import sys; print(input()); print('trouble', file=sys.stderr)")
    process.send("hello")
    assert process.next_line(FOR_EVER_SECONDS) == "hello\n"
    wait_until(lambda: process.exit_code is not None, "the process has ended")
    assert process.exit_code == 0
    assert (tmp_path / "log.txt").read_text() == "trouble\n"


def test_the_log_goes_on_behind_what_is_there(run_python, tmp_path):
    (tmp_path / "log.txt").write_text("before\n")
    process = run_python("import sys; print('after', file=sys.stderr)")
    wait_until(lambda: process.exit_code is not None, "the process has ended")
    assert (tmp_path / "log.txt").read_text() == "before\nafter\n"


def test_a_process_that_ignores_sigterm_is_killed_with_its_children(run_python):
    process = run_python(
        IGNORES_SIGTERM + "import subprocess, sys; "
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print('both', flush=True); "
        "time.sleep(60)"
    )
    assert [process.next_line(FOR_EVER_SECONDS), process.next_line(FOR_EVER_SECONDS)] == ["up\n", "both\n"]
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
    process.terminate(0.2)
    _, alive = psutil.wait_procs(family, timeout=FOR_EVER_SECONDS)
    assert len(family) == 2
    assert not alive


def test_sending_to_an_ended_process_does_nothing(run_python):
    process = run_python("pass")
    wait_until(lambda: process.exit_code == 0, "the process has ended")
    process.send("too late")


def test_a_guarded_program_dies_with_its_parent(tmp_path):
    (tmp_path / "sleeper.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    code = (
        "import subprocess, sys, time; from pathlib import Path; from lens_engine.worker.process import *; "
        "command = [sys.executable, '-m', 'lens_engine.worker.end_with_parent', 'sleeper']; "
        "p = SupervisedProcess(command, Path('log.txt')); "
        "p.next_line(20); print(p.pid, flush=True); time.sleep(60)"
    )
    parent = psutil.Popen([sys.executable, "-c", code], stdout=-1, cwd=tmp_path)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    child.wait(FOR_EVER_SECONDS)


PLENTY = MemoryStory(kernel_killed=False, least_available=9_000_000_000, total=16_000_000_000)
LITTLE = MemoryStory(kernel_killed=False, least_available=300_000_000, total=16_000_000_000)
KERNEL_SAYS_SO = MemoryStory(kernel_killed=True, least_available=9_000_000_000, total=16_000_000_000)


@pytest.mark.parametrize(
    ("exit_code", "memory", "words"),
    [
        (-signal.SIGKILL, LITTLE, "because memory ran out: 0.3 GB were left"),
        (137, KERNEL_SAYS_SO, "because memory ran out: the system says so"),
        (-signal.SIGKILL, PLENTY, "killed from outside (signal SIGKILL), and nobody cancelled the job"),
        (137, PLENTY, "at least 9.0 of 16.0 GB of memory were left"),
        (-signal.SIGSEGV, PLENTY, "a fault of a program or a driver (signal SIGSEGV)"),
        (143, LITTLE, "told to end from outside (signal SIGTERM)"),
        (-signal.SIGHUP, PLENTY, "stopped by the system (signal SIGHUP)"),
        (3, LITTLE, "ended by itself with exit code 3"),
    ],
)
def test_an_exit_code_is_explained_in_words(exit_code, memory, words):
    assert words in str(unexpected_end(exit_code, memory))


def test_a_process_killed_beside_free_memory_did_not_run_out_of_it(run_python):
    process = run_python("import time; print('up', flush=True); time.sleep(60)")
    assert process.next_line(FOR_EVER_SECONDS) == "up\n"
    psutil.Process(process.pid).kill()
    wait_until(lambda: process.exit_code is not None, "the process has ended")
    said = str(unexpected_end(process.exit_code, process.memory))
    assert "Likely causes" in said
    assert "memory ran out" not in said
