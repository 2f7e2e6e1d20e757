"""How a run, or another command, ends that the system refused something."""

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from lens_training.cli.context import process_of_run
from lens_training.cli.endings import errors_as_exit_codes


@pytest.fixture(autouse=True)
def keep_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_full_disk_that_no_step_foresaw_ends_the_run_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, process_of_run(tmp_path, 1, 1, resume=False):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "first-round")
    assert ended.value.exit_code == 1
    told = capsys.readouterr().err
    assert told.startswith("first-round cannot be written or read: No space left on device.")
    assert told.endswith("Then go on with the same command and --resume.\n")


def test_a_full_disk_ends_a_command_that_is_no_run_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, errors_as_exit_codes():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "odd.csv")
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err.startswith("odd.csv cannot be written or read: No space left on device.")


def test_a_mistake_of_the_program_keeps_its_stack_trace(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"), process_of_run(tmp_path, 1, 1, resume=False):
        os.close(-1)
