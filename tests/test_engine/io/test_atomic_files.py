import os
import stat
import subprocess
from pathlib import Path

import pytest

from lens_engine.errors import ExportError
from lens_engine.io.atomic_files import write_atomically, write_text_atomically


def test_a_new_file_is_written_with_its_folders(tmp_path):
    write_text_atomically(tmp_path / "a" / "b.txt", "Läsion")
    assert (tmp_path / "a" / "b.txt").read_text(encoding="utf-8") == "Läsion"


def test_an_old_file_is_replaced_and_nothing_else_is_left(tmp_path):
    write_text_atomically(tmp_path / "b.txt", "old")
    write_text_atomically(tmp_path / "b.txt", "new")
    assert (tmp_path / "b.txt").read_text() == "new"
    assert os.listdir(tmp_path) == ["b.txt"]


def test_other_users_may_read_what_the_umask_allows(tmp_path):
    write_text_atomically(tmp_path / "b.txt", "text")
    (tmp_path / "plain.txt").write_text("text")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("b.txt", "plain.txt")]
    assert modes[0] == modes[1]


def test_a_writer_that_fails_leaves_the_old_file(tmp_path):
    write_text_atomically(tmp_path / "b.txt", "old")

    def fail(file):
        file.write(b"half")
        raise ValueError("a defect of the writer")

    with pytest.raises(ValueError, match="defect"):
        write_atomically(tmp_path / "b.txt", fail)
    assert (tmp_path / "b.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["b.txt"]


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        write_text_atomically(disk / "b.txt", "old")
        with pytest.raises(ExportError, match=r"b\.txt cannot be written: No space left on device"):
            write_text_atomically(disk / "b.txt", "x" * 200_000)
        assert (disk / "b.txt").read_text() == "old"
        assert os.listdir(disk) == ["b.txt"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
