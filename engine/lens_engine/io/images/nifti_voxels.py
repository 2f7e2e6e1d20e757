"""The voxels of a NIfTI file, plane by plane.

ITK is asked for the header only: it fills what a truncated file lacks with zeros, it does not compare the checksum of a
packed file, and for `scan.nii.gz` it reads the voxels of a `scan.nii` that lies beside it.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from lens_engine.io.images.nifti_header import HEADER_BYTES, NiftiHeader, parse_nifti_header

_CHUNK_BYTES = 1 << 16
_GZIP = 31
"""zlib's window size for a gzip header and trailer."""


def nifti_planes(path: Path, shape: tuple[int, int, int]) -> Iterator[NDArray[Any]]:
    """Yield the values `[j, i]` of each plane k of a volume of `shape` (k, j, i).

    Raises
    ------
    EOFError, ValueError, struct.error
        If the file is cut off or damaged, or its header is not one of a volume of that shape.
    """
    with path.open("rb") as file:
        unpacked = _GzipFile(file) if path.name.lower().endswith(".gz") else file
        start = _up_to(HEADER_BYTES, unpacked.read)
        header = parse_nifti_header(start)
        if header is None or header.number_type is None or header.voxels != math.prod(shape):
            raise ValueError(f"{path.name} has no header of {shape} voxels")
        yield from _planes(header, shape, start, unpacked.read)
        while unpacked.read(_CHUNK_BYTES):
            pass  # a damaged rest, and the checksum of a packed file, are noticed at its end


class _GzipFile:
    """Unpacks a gzip file of one or several parts as `gzip.open` does, in larger steps and by ISA-L."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._part = isal_zlib.decompressobj(_GZIP)

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, none at the end."""
        content = b""
        while not content:
            if self._part.eof:
                packed = self._next_part()
                if not packed:
                    return b""
                self._part = isal_zlib.decompressobj(_GZIP)
            else:
                packed = self._part.unconsumed_tail or self._packed.read(_CHUNK_BYTES)
                if not packed:
                    raise EOFError("The file ends within its packed content")
            try:
                content = self._part.decompress(packed, size)
            except isal_zlib.error as error:  # type: ignore[misc]  # its stub declares an instance, not a class
                raise ValueError(f"The packed content is damaged: {error}") from error
        return content

    def _next_part(self) -> bytes:
        """Return the first bytes of a further part, past the zeros that may fill up the one before; none at the end."""
        packed = self._part.unused_data.lstrip(b"\0")
        while not packed:
            chunk = self._packed.read(_CHUNK_BYTES)
            if not chunk:
                return b""
            packed = chunk.lstrip(b"\0")
        return packed


def _planes(
    header: NiftiHeader, shape: tuple[int, int, int], start: bytes, read: Callable[[int], bytes]
) -> Iterator[NDArray[Any]]:
    """Yield the planes; `start` has been read already, `read` goes on behind it."""
    _up_to(header.offset_bytes - len(start), read)
    rest = start[header.offset_bytes :]
    size = shape[1] * shape[2] * header.bits // 8
    for _ in range(shape[0]):
        content, rest = rest[:size], rest[size:]
        content += _up_to(size - len(content), read)
        if len(content) < size:
            raise EOFError("The file ends within its voxels")
        numbers = np.frombuffer(content, header.number_type).reshape(shape[1:])
        is_scaled = (header.slope, header.intercept) != (1.0, 0.0)
        yield numbers * np.float64(header.slope) + np.float64(header.intercept) if is_scaled else numbers


def _up_to(size: int, read: Callable[[int], bytes]) -> bytes:
    """Return `size` bytes, fewer at the end of the file, none if `size` is not positive."""
    pieces = []
    while size > 0 and (piece := read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
