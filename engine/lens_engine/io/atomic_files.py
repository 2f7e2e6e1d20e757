"""Write a file or a folder completely or not at all, so that a full disk or a killed process leaves the old one.

Everything is written under a temporary name beside the final one, flushed to the disk, and only then renamed. A process
that is killed leaves its temporary file behind; nobody takes it for a whole one.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from uuid import uuid4

from lens_engine.errors import ExportError

_SUFFIX = ".part"


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Make `content` the file at `path`.

    Raises
    ------
    ExportError
        If the file cannot be written (full disk, no permission). What was at `path` before is still there.
    """
    try:
        replace_bytes(path, content)
    except OSError as error:
        raise ExportError(
            f"{path} cannot be written: {error.strerror or error}",
            "A folder with write permission and enough free space is needed",
            "Free space or choose another folder; the previous file, if any, is unchanged",
        ) from error


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with `write_bytes_atomically`."""
    write_bytes_atomically(path, text.encode("utf-8"))


def replace_bytes(path: Path, content: bytes | memoryview) -> None:
    """Do what `write_bytes_atomically` does for callers with an error of their own: an `OSError` is passed on."""
    with replacement_of(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacement_of(path: Path) -> Iterator[Path]:
    """Yield the name under which to write a file that takes the place of `path` when the block ends.

    Folders above it are made. If the block or the disk raises, what was at `path` is still there and nothing is beside
    it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}{_SUFFIX}")
    try:
        yield temporary
        _sync_file(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def remove_parts(path: Path) -> None:
    """Remove what killed processes left of `replacement_of` the same path; only where no other process writes it."""
    for part in path.parent.glob(f".{escape(path.name)}.*{_SUFFIX}"):
        part.unlink(missing_ok=True)


def is_part(path: Path) -> bool:
    """Return whether a path is, or lies in, something that has no name yet, or that a killed process left."""
    return any(part.startswith(".") and part.endswith(_SUFFIX) for part in path.parts)


@contextmanager
def unnamed_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder below `parent` that is gone after the block, unless `name_folder` has given it a name."""
    temporary = parent / f".{uuid4().hex}{_SUFFIX}"
    try:
        temporary.mkdir(parents=True)
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def flush_folder(unnamed: Path) -> None:
    """Flush an unnamed folder and all that is in it to the disk; it is ready for its name then."""
    for entry in unnamed.iterdir():
        if entry.is_dir():
            flush_folder(entry)
        else:
            _sync_file(entry)
    _sync_folder(unnamed)


def name_folder(unnamed: Path, path: Path) -> None:
    """Call a flushed folder `path`, which must be free, for good."""
    unnamed.rename(path)
    _sync_folder(path.parent)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:  # Windows flushes only what may be written
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable; only POSIX systems can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
