import io
import json
import os
import pty
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from lens_training.running.progress import ProgressLog, Stage

CURSOR_GIVEN_BACK = "\x1b[?25h"


@pytest.fixture
def terminal() -> Iterator[tuple[TextIO, int]]:
    """Return a stream to a terminal and the descriptor on which a person would see it."""
    seen, written = pty.openpty()
    with os.fdopen(seen, "rb", buffering=0), os.fdopen(written, "w", encoding="utf-8") as stream:
        yield stream, seen


def report_all(log: ProgressLog, steps: int) -> None:
    with log:
        for step in range(1, steps + 1):
            log.report(Stage.TRAIN, step, steps, {"loss": 0.5, "images_per_second": 12.0})


def test_a_process_gets_json_lines_and_the_last_one_always():
    stream = io.StringIO()
    report_all(ProgressLog(stream, None, interval_seconds=3600), 5)
    messages = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [message["done"] for message in messages] == [1, 5]
    assert messages[-1] | {"seconds": 0} == {
        "stage": "train",
        "done": 5,
        "total": 5,
        "loss": 0.5,
        "images_per_second": 12.0,
        "seconds": 0,
    }


def test_the_log_file_gets_every_message_even_if_nobody_watches(tmp_path: Path):
    report_all(ProgressLog(None, tmp_path / "log.jsonl"), 5)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["done"] for line in lines] == [1, 2, 3, 4, 5]


def test_a_log_begins_anew_with_its_first_message_unless_the_run_goes_on(tmp_path: Path):
    file = tmp_path / "new" / "log.jsonl"
    for steps, goes_on, lines in ((3, True, 3), (1, True, 4), (2, False, 2)):
        log = ProgressLog(None, file, goes_on=goes_on)
        before = file.read_text() if file.exists() else None
        report_all(log, 0)
        assert (file.read_text() if file.exists() else None) == before
        report_all(log, steps)
        assert len(file.read_text().splitlines()) == lines


def test_a_person_at_a_terminal_gets_a_bar_and_no_json(terminal: tuple[TextIO, int]):
    stream, seen = terminal
    report_all(ProgressLog(stream, None), 5)
    stream.flush()
    shown = ""
    while not shown.rstrip().endswith(CURSOR_GIVEN_BACK):
        shown += os.read(seen, 2**16).decode()
    assert "Training" in shown
    assert "5/5" in shown
    assert "loss 0.500, 12.0 images/s" in shown
    assert '{"stage"' not in shown
