"""Where the bodies of scans lie, and the slices of packed scans, kept on a disk for all processes and all runs.

An entry belongs to files of given names, sizes and times and to the settings below: after a change of either it is not
found again. It has a checksum for each slice, comes into being at once or not at all, and makes room for newer ones
once it has not been used for longest. Without a disk that takes it, everything is read from the scans themselves.
"""

import ctypes
import errno
import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import platformdirs
from isal import isal_zlib
from numpy.typing import NDArray

from lens_engine.detector.preprocess import BODY_ABOVE_HU, OPENING_SIDE, Crop, body_rectangle
from lens_engine.errors import JobError
from lens_engine.io.atomic_files import remove_parts, replacement_of
from lens_engine.worker.file_lock import FileLock
from lens_training.datasets.case import Case, ScanFiles
from lens_training.recipes.recipe import MOST_SHIFT_VOXELS

CACHE_VERSION = 1
"""Counts up when voxels or bodies are made in another way, so that no old entry is believed."""
LEFT_FREE_BYTES = 2**30
"""The cache leaves so much of its disk to others, whatever its limit is."""
USED_SECONDS = 3600.0
"""What was used in this time stays: a cache that is too small for a run would otherwise only be written anew."""

SLICES_FOLDER = "training-slices"
"""What the folder is called where it is not all that a folder keeps."""

_FORMAT = "LENS slices"
_LOCKS = 64
_LOCK_SECONDS = 1800.0
_NUMBERS = np.dtype("<i2")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenScan:
    """A scan of which single slices can be read.

    Attributes
    ----------
    body
        `body_rectangle` of the whole scan.
    corner
        Row and column at which the slices begin that are read; they hold the body and all to which a crop may move.
    read
        Returns slices by their ascending numbers, int16 HU (k, h, w).
    """

    body: Crop
    corner: tuple[int, int]
    read: Callable[[Sequence[int]], NDArray[np.int16]]


def default_folder() -> Path:
    """Return where this user keeps the slices of all runs, unless somebody says otherwise; nothing is made there."""
    return platformdirs.user_cache_path("lens-napari") / SLICES_FOLDER


def shown_part(body: Crop) -> Crop:
    """Return what samples may show of the slices: the body, and the voxels to which its crop may move."""
    return Crop(max(body.top - MOST_SHIFT_VOXELS, 0), max(body.left - MOST_SHIFT_VOXELS, 0), body.bottom, body.right)


class SliceCache:
    """Opens scans so that a sample reads the slices it needs; what that takes is kept in a folder.

    Parameters
    ----------
    folder
        Made when something is kept; None keeps nothing beyond the end of the process.
    limit_bytes
        How much the slices of packed scans may take together. Bodies take a few hundred bytes each and are not counted.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int = 0) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._opened: dict[tuple[str, str], OpenScan] = {}
        self._is_full = multiprocessing.Value(ctypes.c_bool, False)
        """Shared with the processes that are forked from this one: nothing more is kept."""

    def open(self, case: Case, files: ScanFiles) -> OpenScan:
        """Return a scan ready to be read slice by slice; the first time ever, all of it is read.

        Raises
        ------
        LensError
            If the scan cannot be read.
        """
        name = case.dataset, case.name
        if name not in self._opened:
            self._opened[name] = self._open(case, files)
        return self._opened[name]

    def _open(self, case: Case, files: ScanFiles) -> OpenScan:
        key = _key(case, files)
        if self._folder is None or key is None:
            return self._unkept(case, files)
        found = self._find(self._folder, case, files, key)
        if found is not None:
            return found
        with self._turn(self._folder, key):
            return self._find(self._folder, case, files, key) or self._make(self._folder, case, files, key)

    def _unkept(self, case: Case, files: ScanFiles) -> OpenScan:
        body = body_rectangle(case.load().voxels)
        if self._folder is None and files.read((0,)) is None:
            self._say_once(
                "No folder keeps the slices of packed scans (.nii.gz, .zraw, compressed DICOM): those that find no "
                "room in memory are read whole for each sample, which is slow. Give one by --cache, or raise "
                "sampling.cache_gib of the recipe."
            )
        return _opened(case, files, body)

    @contextmanager
    def _turn(self, folder: Path, key: str) -> Iterator[None]:
        """Let one process read a scan while others wait for what it keeps, as long as anything is kept."""
        with ExitStack() as held:
            if not self._is_full.value:
                lock = FileLock(folder / f"{int(key[:4], 16) % _LOCKS}.lock", "read this scan", _LOCK_SECONDS)
                try:
                    held.enter_context(lock)
                except (OSError, JobError) as error:
                    self._keep_no_more(str(error))
            yield

    def _find(self, folder: Path, case: Case, files: ScanFiles, key: str) -> OpenScan | None:
        """Return what is kept of a scan, if anything sound is."""
        body = _kept(folder / "bodies" / key)
        if body is not None:
            return _opened(case, files, body.body)
        slices = _kept(folder / "slices" / key)
        if slices is None or not _touched(slices.path):
            return None
        part = shown_part(slices.body)
        return OpenScan(slices.body, (part.top, part.left), partial(self._read_kept, case, slices))

    def _make(self, folder: Path, case: Case, files: ScanFiles, key: str) -> OpenScan:
        """Read a whole scan and keep what is needed of it."""
        voxels = case.load().voxels
        body = body_rectangle(voxels)
        is_packed = files.read((0,)) is None
        if not self._is_full.value:
            try:
                self._keep(folder, key, body, voxels if is_packed else None)
            except (OSError, JobError) as error:
                self._keep_no_more(str(error))
        return self._find(folder, case, files, key) or _opened(case, files, body)

    def _keep(self, folder: Path, key: str, body: Crop, voxels: NDArray[np.int16] | None) -> None:
        """Write the body of a scan, and what samples may show of its voxels where they are given.

        Raises
        ------
        OSError, JobError
            If the disk does not take it.
        """
        if voxels is None:
            _write(folder / "bodies" / key, body, np.empty((0, 0, 0), _NUMBERS))
            return
        part = shown_part(body)
        shown = voxels[:, part.top : part.bottom, part.left : part.right]
        remove_parts(folder / "slices" / key)  # of a run that was killed; this one alone may write the scan now
        if self._has_room_for(shown.nbytes, folder / "slices"):
            _write(folder / "slices" / key, body, shown)

    def _read_kept(self, case: Case, kept: "_Kept", slices: Sequence[int]) -> NDArray[np.int16]:
        try:
            return kept.read(slices)
        except (OSError, ValueError):  # another run made room, or the disk lost something: it is made anew next time
            with suppress(OSError):  # kept by another user
                kept.path.unlink()
            self._opened.pop((case.dataset, case.name), None)
            part = shown_part(kept.body)
            return case.load().voxels[list(slices), part.top : part.bottom, part.left : part.right]

    def _has_room_for(self, size_bytes: int, folder: Path) -> bool:
        """Make room by what was used longest ago; return whether there is enough of it then.

        Raises
        ------
        OSError
            If the disk itself is full.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / "room.lock", "make room", _LOCK_SECONDS):
            kept = [(status, path) for path in folder.iterdir() if (status := _status(path)) is not None]
            total = sum(status.st_size for status, _ in kept) + size_bytes
            for status, path in sorted(kept, key=lambda entry: entry[0].st_mtime):
                if total <= self._limit_bytes or time.time() - status.st_mtime < USED_SECONDS:
                    break
                path.unlink(missing_ok=True)
                total -= status.st_size
        if total > self._limit_bytes:
            self._keep_no_more(f"its {self._limit_bytes / 2**30:.3g} GiB are full of what was used in the last hour")
            return False
        if shutil.disk_usage(folder).free < size_bytes + LEFT_FREE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return True

    def _keep_no_more(self, why: str) -> None:
        self._say_once(
            f"The slice cache {self._folder} takes no more scans ({why}): packed ones that find no room in memory are "
            "read whole for each sample, which is slow. Make room there, give another folder by --cache, or raise "
            "sampling.slice_cache_gib of the recipe."
        )

    def _say_once(self, warning: str) -> None:
        """Keep nothing more, and tell why once for all processes that share this cache."""
        with self._is_full.get_lock():
            was_full, self._is_full.value = self._is_full.value, True
        if not was_full:
            logger.warning("%s", warning)


@dataclass(frozen=True, slots=True)
class _Kept:
    """One entry: a line of JSON, and the slices behind it, if any.

    Attributes
    ----------
    shape
        Of the slices, (z, y, x).
    checksums
        CRC-32 of each slice.
    voxels_at
        Where the first slice begins, in bytes.
    """

    path: Path
    body: Crop
    shape: tuple[int, int, int]
    checksums: tuple[int, ...]
    voxels_at: int

    def read(self, slices: Sequence[int]) -> NDArray[np.int16]:
        """Return some slices.

        Raises
        ------
        OSError, ValueError
            If the entry is gone or damaged.
        """
        read = np.empty((len(slices), *self.shape[1:]), _NUMBERS)
        with self.path.open("rb") as file:
            for plane, index in zip(read, slices, strict=True):
                file.seek(self.voxels_at + index * plane.nbytes)
                if file.readinto(plane.data.cast("B")) < plane.nbytes or _checksum(plane) != self.checksums[index]:
                    raise ValueError(f"slice {index} is damaged")
            used_at = os.fstat(file.fileno()).st_mtime
        if time.time() - used_at > USED_SECONDS / 2:
            _touched(self.path)
        return read.astype(np.int16, copy=False)


def _kept(path: Path) -> _Kept | None:
    """Return an entry; None if there is none, or one that no version of this module wrote whole."""
    try:
        with path.open("rb") as file:
            line = file.readline()
        said = json.loads(line)
        entry = _Kept(path, Crop(*said["body"]), tuple(said["shape"]), tuple(said["checksums"]), len(line))
        size = entry.voxels_at + int(np.prod(entry.shape)) * _NUMBERS.itemsize
        return entry if said["format"] == _FORMAT and path.stat().st_size == size else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _status(path: Path) -> os.stat_result | None:
    """Return what the system says of a file; None if it is gone: others give theirs a name, or take damaged ones."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _touched(path: Path) -> bool:
    """Say that a file is in use, where this user may; return whether it is still there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except OSError:  # kept by another user, or on a disk that is only read
        return True
    return True


def _write(path: Path, body: Crop, voxels: NDArray[np.int16]) -> None:
    planes = [np.ascontiguousarray(plane, _NUMBERS) for plane in voxels]
    said = {
        "format": _FORMAT,
        "body": [body.top, body.left, body.bottom, body.right],
        "shape": voxels.shape,
        "checksums": [_checksum(plane) for plane in planes],
    }
    with replacement_of(path) as temporary, temporary.open("wb") as file:
        file.write(json.dumps(said).encode() + b"\n")
        file.writelines(plane.data for plane in planes)


def _checksum(plane: NDArray[np.int16]) -> int:
    return isal_zlib.crc32(plane.data.cast("B"))


def _key(case: Case, files: ScanFiles) -> str | None:
    """Return what names the entry of a scan: its files, and how bodies and slices are made; None if a file is gone."""
    settings = [CACHE_VERSION, BODY_ABOVE_HU, OPENING_SIDE, MOST_SHIFT_VOXELS, case.geometry.as_dict()]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for path in files.paths:
        try:
            status = path.stat()
        except OSError:
            return None
        digest.update(f"{path.absolute()}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _opened(case: Case, files: ScanFiles, body: Crop) -> OpenScan:
    return OpenScan(body, (0, 0), partial(_read, case, files))


def _read(case: Case, files: ScanFiles, slices: Sequence[int]) -> NDArray[np.int16]:
    found = files.read(slices)
    return case.load().voxels[list(slices)] if found is None else found
