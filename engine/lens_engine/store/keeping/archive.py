"""The archive of a backup: a zip file whose last member, the manifest, names every other one with its checksum."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from lens_engine.errors import StoreError

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
DATABASE_NAME = "store/lens.sqlite"
_COMPRESSED = (".parquet", ".safetensors")
"""Files that compressing again makes no smaller."""
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
"""The flag of a member that a password opens."""
_PIECE_BYTES = 1 << 20
_MANIFEST_BYTES = 1 << 26
"""The most that a manifest may have: room for some 400,000 files."""
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
"""Of the members: when a backup was made stands in its manifest."""


class ArchivedFile(BaseModel):
    """One member: its size and the SHA-256 of its bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    sha256: str


class Manifest(BaseModel):
    """What a backup holds.

    Attributes
    ----------
    files
        Members by their path in the project folder, with `/`.
    left_out
        What of a project is not in its backup, with the reason.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    project: str
    identity: UUID
    made_at: datetime
    files: dict[str, ArchivedFile]
    left_out: dict[str, str]


class ArchiveWriter:
    """Adds files to an archive and remembers their checksums."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.files: dict[str, ArchivedFile] = {}

    def add(self, name: str, source: IO[bytes]) -> None:
        """Add what is left to read of `source`."""
        digest, size = hashlib.sha256(), 0
        info = zipfile.ZipInfo(name, _FIXED_TIME)
        info.compress_type = zipfile.ZIP_STORED if name.endswith(_COMPRESSED) else zipfile.ZIP_DEFLATED
        with self._archive.open(info, "w", force_zip64=True) as member:
            while piece := source.read(_PIECE_BYTES):
                digest.update(piece)
                size += len(piece)
                member.write(piece)
        self.files[name] = ArchivedFile(size=size, sha256=digest.hexdigest())

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest, without which nobody takes the archive for a whole one."""
        self._archive.writestr(zipfile.ZipInfo(MANIFEST_NAME, _FIXED_TIME), manifest.model_dump_json(indent=1))


@contextmanager
def reading_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; whatever shows inside the block that it is damaged is said in words.

    Raises
    ------
    StoreError
        If the file is missing or cannot be read, or is no whole archive.
    """
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise StoreError(f"There is no file {path}", "A backup, as 'lens backup' makes it", "Check the name") from error
    except OSError as error:
        raise StoreError(
            f"The backup {path} cannot be read ({error.strerror or error})",
            "A file as 'lens backup' makes it, which you may read",
            "Check the name, and the rights of the file",
        ) from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:  # ValueError: a name that is no text
        raise damaged(path, str(error)) from error
    with archive:
        try:
            yield archive
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise damaged(path, str(error)) from error


def read_manifest(archive: zipfile.ZipFile, path: Path) -> Manifest:
    """Return what an archive should hold, after a look at whether it holds just that.

    Raises
    ------
    StoreError
        If it holds another set of files, a name that leads out of the project folder, or is of a newer version.
    """
    if MANIFEST_NAME not in archive.namelist():
        raise damaged(path, "it has no manifest")
    if any(member.flag_bits & _ENCRYPTED or member.compress_type not in _COMPRESSIONS for member in archive.infolist()):
        raise damaged(path, "it was packed by another program")
    if archive.getinfo(MANIFEST_NAME).file_size > _MANIFEST_BYTES:
        raise damaged(path, "its manifest is too long")
    text = archive.read(MANIFEST_NAME)
    try:
        version = json.loads(text).get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise StoreError(
                f"The backup {path} has format {version}",
                f"This version of LENS-napari reads up to {FORMAT_VERSION}",
                "Update LENS-napari: pip install --upgrade lens-napari",
            )
        manifest = Manifest.model_validate_json(text)
    except (ValidationError, ValueError, AttributeError, RecursionError) as error:
        raise damaged(path, "its manifest cannot be read") from error
    names = sorted(name for name in archive.namelist() if name != MANIFEST_NAME)
    if names != sorted(manifest.files):
        raise damaged(path, "it holds other files than its manifest names")
    for name in names:
        if not _is_inside(name):
            raise damaged(path, f"the name {name!r} leads out of the project folder")
    return manifest


def extract(archive: zipfile.ZipFile, name: str, expected: ArchivedFile, target: Path) -> bool:
    """Write a member to `target` and return whether it is what the manifest says; no more than that is written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with archive.open(name) as member, target.open("wb") as file:
        while size <= expected.size and (piece := member.read(_PIECE_BYTES)):
            digest.update(piece)
            size += len(piece)
            file.write(piece)
    return size == expected.size and digest.hexdigest() == expected.sha256


def damaged(path: Path, why: str) -> StoreError:
    """Return the error for an archive that is not what was written."""
    return StoreError(
        f"The backup {path} is damaged: {why}",
        "The file as 'lens backup' wrote it",
        "Copy it again, or use another backup; nothing was restored",
    )


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    is_plain = not path.is_absolute() and ".." not in path.parts and path.as_posix() == name
    return is_plain and not any(sign in name for sign in ("\\", ":", "\0"))
