"""Write a file completely or not at all, so that a full disk or a killed process leaves the old one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from lens_engine.errors import ExportError


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to the disk and only then give it its name.

    Raises
    ------
    ExportError
        If the file cannot be written (full disk, no permission). What was at `path` before is still there.
    """
    try:
        replace_file(path, write)
    except OSError as error:
        raise ExportError(
            f"{path} cannot be written: {error.strerror or error}",
            "A folder with write permission and enough free space is needed",
            "Free space or choose another folder; the previous file, if any, is unchanged",
        ) from error


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with `write_atomically`."""
    content = text.encode("utf-8")

    def write(file: BinaryIO) -> None:
        file.write(content)

    write_atomically(path, write)


def replace_file(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Do what `write_atomically` does for callers with an error of their own: an `OSError` is passed on."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def replace_bytes(path: Path, content: bytes) -> None:
    """Make `content` the file at `path` with `replace_file`."""

    def write(file: BinaryIO) -> None:
        file.write(content)

    replace_file(path, write)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable; only POSIX systems can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
