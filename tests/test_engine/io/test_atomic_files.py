import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lens_engine.errors import ExportError
from lens_engine.io.atomic_files import (
    flush_folder,
    name_folder,
    remove_parts,
    replacement_of,
    unnamed_folder,
    write_bytes_atomically,
    write_text_atomically,
)


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


def fail_after_writing(path: Path) -> None:
    path.write_bytes(b"half")
    raise ValueError("a defect of the writer")


def test_a_writer_that_fails_leaves_the_old_file(tmp_path):
    write_text_atomically(tmp_path / "b.txt", "old")
    with pytest.raises(ValueError, match="defect"), replacement_of(tmp_path / "b.txt") as temporary:
        fail_after_writing(temporary)
    assert (tmp_path / "b.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["b.txt"]


def test_a_writer_that_writes_nothing_is_no_success(tmp_path):
    write_text_atomically(tmp_path / "b.txt", "old")
    with pytest.raises(FileNotFoundError), replacement_of(tmp_path / "b.txt"):
        pass
    assert (tmp_path / "b.txt").read_text() == "old"


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "b.txt"
    with replacement_of(path) as first, replacement_of(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["b.txt"]


def test_what_a_killed_process_left_of_a_file_is_removed_and_nothing_else(tmp_path):
    killed = (
        "import os; from pathlib import Path; from lens_engine.io.atomic_files import replacement_of\n"
        "with replacement_of(Path('b.txt')) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", killed], cwd=tmp_path, check=False)
    assert len(os.listdir(tmp_path)) == 1
    kept = {"b.txt", "b.txt.part", ".c.txt.1.part"}
    for name in kept:
        (tmp_path / name).write_text("kept")
    remove_parts(tmp_path / "b.txt")
    assert set(os.listdir(tmp_path)) == kept


def test_a_folder_gets_its_name_once_it_is_complete(tmp_path):
    with unnamed_folder(tmp_path / "models") as folder:
        (folder / "card.json").write_text("{}")
        flush_folder(folder)
        assert not (tmp_path / "models" / "v1").exists()
        name_folder(folder, tmp_path / "models" / "v1")
    assert os.listdir(tmp_path / "models") == ["v1"]
    assert (tmp_path / "models" / "v1" / "card.json").read_text() == "{}"


def test_a_folder_without_a_name_is_gone_afterwards(tmp_path):
    with pytest.raises(ValueError, match="defect"), unnamed_folder(tmp_path) as folder:
        fail_after_writing(folder / "card.json")
    assert os.listdir(tmp_path) == []


def test_bytes_are_written_as_they_are(tmp_path):
    write_bytes_atomically(tmp_path / "b.pkl", bytes(range(256)))
    assert (tmp_path / "b.pkl").read_bytes() == bytes(range(256))


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
