"""The voxels of an image file, plane by plane, as its header says where and how they lie.

No library reads them for us: ITK fills what a truncated file lacks with zeros, does not compare the checksum of a
packed file, takes the memory that a header announces before it has seen the file, and opens whatever file one names.
Here memory is taken for what really arrives, and a packed file is unpacked no further than its header announces.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from io import BufferedReader
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from lens_engine.io.limits import MAX_REST_BYTES

FROM_THE_END = -1
"""So many bytes a header says to skip where the voxels are the last of the file."""
_CHUNK_BYTES = 1 << 16
_STEP_BYTES = 1 << 20
"""Unpacked at a time."""


class Packing(IntEnum):
    """How voxels are packed; the value is zlib's window size for header and trailer of that kind."""

    NONE = 0
    ZLIB = 15
    GZIP = 31


@dataclass(frozen=True, slots=True)
class StoredVoxels:
    """Where the voxels of an image lie and what their numbers mean.

    Attributes
    ----------
    path
        The file with the voxels, which may be another than that of the header.
    counts
        Number of voxels along each axis, the fastest first.
    number_type
        The type of one voxel, in the byte order of the file.
    packed_at_bytes
        Where the packed part of the file begins; 0 without packing.
    offset_bytes
        Where the first voxel lies, counted from the start of the unpacked part.
    slope, intercept
        Value = slope * number + intercept.
    """

    path: Path
    counts: tuple[int, int, int]
    number_type: np.dtype[Any]
    packing: Packing
    packed_at_bytes: int
    offset_bytes: int
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def size_bytes(self) -> int:
        """Return the bytes of all voxels."""
        return math.prod(self.counts) * self.number_type.itemsize

    def at_the_end(self) -> "StoredVoxels":
        """Return them as the last bytes of their file, which is not packed."""
        return replace(self, offset_bytes=max(0, self.path.stat().st_size - self.size_bytes))


def is_complete(voxels: StoredVoxels) -> bool:
    """Return whether the file holds as many bytes as its header announces; packed by zlib, that is seen when read."""
    if not voxels.path.is_file():
        return False
    size = voxels.path.stat().st_size
    if voxels.packing is Packing.NONE:
        return size >= voxels.offset_bytes + voxels.size_bytes
    if voxels.packing is Packing.ZLIB or _size_in_trailer(voxels) == (voxels.offset_bytes + voxels.size_bytes) % 2**32:
        return size > voxels.packed_at_bytes
    try:
        return all(plane.size for plane in stored_planes(voxels))
    except (EOFError, ValueError):
        return False


def stored_planes(voxels: StoredVoxels) -> Iterator[NDArray[Any]]:
    """Yield the values `[j, i]` of each plane k; an array of its own each time.

    Raises
    ------
    EOFError, ValueError, OSError
        If the file is gone, cut off or damaged, or goes on for long behind its voxels.
    """
    columns, rows, planes = voxels.counts
    with voxels.path.open("rb") as file:
        unpacked = _unpacked(file, voxels)
        for _ in range(planes):
            numbers = np.empty((rows, columns), voxels.number_type)
            _fill(numbers.data.cast("B"), unpacked)
            yield _values(numbers, voxels)
        if voxels.packing is not Packing.NONE:
            _read_rest(unpacked)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def readinto(self, target: memoryview, /) -> int: ...


class _Packed:
    """Unpacks one or several parts behind each other as `gzip.open` does, in larger steps and by ISA-L."""

    def __init__(self, packed: BufferedReader, packing: Packing) -> None:
        self._packed, self._packing = packed, packing
        self._part = isal_zlib.decompressobj(packing.value)

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        content = b""
        while not content:
            if self._part.eof:
                packed = self._next_part()
                if not packed:
                    return b""
                self._part = isal_zlib.decompressobj(self._packing.value)
            else:
                packed = self._part.unconsumed_tail or self._packed.read(_CHUNK_BYTES)
            try:
                content = self._part.decompress(packed, size)
            except isal_zlib.error as error:  # type: ignore[misc]  # its stub declares an instance, not a class
                raise ValueError(f"The packed content is damaged: {error}") from error
            if not (content or packed or self._part.eof):  # what it holds back comes without new input
                raise EOFError("The file ends within its packed content")
        return content

    def readinto(self, target: memoryview, /) -> int:
        """Write as much into `target` as comes at once and return how much that is, 0 at the end."""
        content = self.read(min(len(target), _STEP_BYTES))
        target[: len(content)] = content
        return len(content)

    def _next_part(self) -> bytes:
        """Return the first bytes of a further part, past the zeros that may fill up the one before; none at the end."""
        packed = self._part.unused_data.lstrip(b"\0")
        while not packed:
            chunk = self._packed.read(_CHUNK_BYTES)
            if not chunk:
                return b""
            packed = chunk.lstrip(b"\0")
        return packed


def single_planes(voxels: StoredVoxels, numbers: Iterable[int]) -> Iterator[NDArray[Any]]:
    """Yield the values `[j, i]` of some planes of a file that is not packed, as `stored_planes` yields them.

    Raises
    ------
    EOFError, ValueError, OSError
        If the file is gone or cut off.
    """
    columns, rows, _ = voxels.counts
    with voxels.path.open("rb") as file:
        for number in numbers:
            plane = np.empty((rows, columns), voxels.number_type)
            file.seek(voxels.offset_bytes + number * plane.nbytes)
            _fill(plane.data.cast("B"), file)
            yield _values(plane, voxels)


def first_bytes(path: Path, count: int, packing: Packing) -> bytes:
    """Return the first bytes of a file as unpacked, fewer where it ends before.

    Raises
    ------
    EOFError, ValueError, OSError
        If it is damaged, or gone.
    """
    with path.open("rb") as file:
        unpacked: _Readable = file if packing is Packing.NONE else _Packed(file, packing)
        content = b""
        while len(content) < count and (piece := unpacked.read(count - len(content))):
            content += piece
    return content


def _values(numbers: NDArray[Any], voxels: StoredVoxels) -> NDArray[Any]:
    if (voxels.slope, voxels.intercept) == (1.0, 0.0):
        return numbers
    scaled: NDArray[np.float64] = numbers * np.float64(voxels.slope) + np.float64(voxels.intercept)
    return scaled


def _size_in_trailer(voxels: StoredVoxels) -> int:
    """Return the unpacked size that ends a gzip file: quick, and wrong only for truncated or many-part files."""
    with voxels.path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 4))
        return int.from_bytes(file.read(4), "little")


def _unpacked(file: BufferedReader, voxels: StoredVoxels) -> _Readable:
    """Return the content of a file from its first voxel on."""
    if voxels.packing is Packing.NONE:
        file.seek(voxels.offset_bytes)
        return file
    file.seek(voxels.packed_at_bytes)
    packed = _Packed(file, voxels.packing)
    left = voxels.offset_bytes
    while left > 0:
        skipped = len(packed.read(min(left, _CHUNK_BYTES)))
        if not skipped:
            raise EOFError("The file ends before its voxels")
        left -= skipped
    return packed


def _fill(target: memoryview, source: _Readable) -> None:
    """Read as many bytes as `target` has; its memory is touched only as they arrive."""
    done = 0
    while done < len(target):
        count = source.readinto(target[done:])
        if not count:
            raise EOFError("The file ends within its voxels")
        done += count


def _read_rest(unpacked: _Readable) -> None:
    """Notice a damaged rest, and the checksum of a packed file, at its end."""
    rest = 0
    while content := unpacked.read(_CHUNK_BYTES):
        rest += len(content)
        if rest > MAX_REST_BYTES:
            raise ValueError("The packed content goes on for long behind the voxels that are announced")
