"""Windows of one reader know of each other through files, on one machine and from machine to machine."""

import os
import subprocess
import sys
from pathlib import Path

from lens_napari.review.open_windows import FRESH_SECONDS, OpenWindow


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_second_window_of_a_reader_knows_of_the_first_until_that_is_closed(tmp_path: Path) -> None:
    first, second, other = (OpenWindow(tmp_path, name) for name in ("Anna", "Anna", "B/ert"))
    assert [one.keep() for one in (first, second, other)] == [0, 1, 0]
    assert first.keep() == 1
    first.end()
    assert second.keep() == 0
    second.end()
    other.end()
    assert files(tmp_path) == []


def test_a_window_whose_process_was_killed_is_open_no_longer(tmp_path: Path) -> None:
    begin = "import sys, pathlib; from lens_napari.review.open_windows import OpenWindow as W; "
    code = begin + "print(W(pathlib.Path(sys.argv[1]), 'Anna').keep(), flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        mine = OpenWindow(tmp_path, "Anna")
        assert mine.keep() == 1
        process.kill()
    assert mine.keep() == 0
    assert len(files(tmp_path)) == 1


def test_a_window_of_another_machine_is_open_while_its_file_is_fresh(tmp_path: Path) -> None:
    mine = OpenWindow(tmp_path, "Anna")
    mine.keep()
    (own,) = files(tmp_path)
    there = own.with_name("another-host 1 abc")
    there.touch()
    assert mine.keep() == 1
    past = there.stat().st_mtime - FRESH_SECONDS - 1
    os.utime(there, (past, past))
    assert mine.keep() == 0
