"""Logs that are put aside when they are full."""

import json
from pathlib import Path

from lens_engine.jobs.log_files import KEPT, MOST_BYTES, EventLog, make_room


def test_a_full_log_is_put_aside_and_the_oldest_is_dropped(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    for number in range(KEPT + 2):
        log.write_bytes(str(number).encode() * MOST_BYTES)
        make_room(log)
        assert not log.exists()
    kept = [log.with_name(f"log.txt.{number}").read_bytes()[:1] for number in range(1, KEPT + 1)]
    assert kept == [b"4", b"3", b"2"]
    assert len(list(tmp_path.iterdir())) == KEPT


def test_a_log_with_room_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    make_room(log)
    log.write_text("line\n")
    make_room(log)
    assert log.read_text() == "line\n"


def test_events_are_lines_of_json_in_files_of_limited_size(tmp_path: Path) -> None:
    events = EventLog(tmp_path / "job" / "events.jsonl")
    events.write("begun", job="a", share="100 %d")
    for _ in range(4):
        events.write("step", words="x" * (MOST_BYTES // 2))
    events.close()
    files = sorted((tmp_path / "job").iterdir())
    assert len(files) > 1
    assert all(file.stat().st_size <= MOST_BYTES for file in files)
    first = json.loads(files[-1].read_text().splitlines()[0])
    assert (first["event"], first["job"], first["share"]) == ("begun", "a", "100 %d")
    assert first["time"].endswith("+00:00")
