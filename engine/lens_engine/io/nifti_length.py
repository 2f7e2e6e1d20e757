"""Tell a truncated NIfTI file from a complete one: ITK fills what is missing with zeros and says nothing."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

_HEADER_BYTES = 540
_NIFTI_1 = 348
_NIFTI_2 = 540
_CHUNK_BYTES = 1 << 22


def is_complete_nifti(path: Path) -> bool:
    """Return whether a NIfTI file holds as many bytes as its header announces."""
    try:
        if not path.name.lower().endswith(".gz"):
            with path.open("rb") as file:
                announced = _announced_bytes(file.read(_HEADER_BYTES))
            return announced is not None and path.stat().st_size >= announced
        with gzip.open(path, "rb") as unpacked:
            announced = _announced_bytes(unpacked.read(_HEADER_BYTES))
        if announced is None:
            return False
        with path.open("rb") as file:
            return _size_in_trailer(file) == announced % 2**32 or _unpacked_size(path) >= announced
    except (EOFError, gzip.BadGzipFile, zlib.error, struct.error):
        return False


def _announced_bytes(header: bytes) -> int | None:
    """Return the bytes up to the end of the voxels, or None if the header is not one of NIfTI 1 or 2."""
    for order in ("<", ">"):
        size = struct.unpack_from(f"{order}i", header)[0]
        if size == _NIFTI_1:
            dimensions = struct.unpack_from(f"{order}8h", header, 40)
            bits, offset = (
                struct.unpack_from(f"{order}h", header, 72)[0],
                struct.unpack_from(f"{order}f", header, 108)[0],
            )
        elif size == _NIFTI_2:
            bits, dimensions = (
                struct.unpack_from(f"{order}h", header, 14)[0],
                struct.unpack_from(f"{order}8q", header, 16),
            )
            offset = struct.unpack_from(f"{order}q", header, 168)[0]
        else:
            continue
        voxels: int = 1
        for count in dimensions[1 : 1 + dimensions[0]]:
            voxels *= count
        return int(offset) + int(voxels) * int(bits) // 8
    return None


def _size_in_trailer(file: BinaryIO) -> int:
    """Return the unpacked size that ends a gzip file: quick, and wrong only for truncated or many-part files."""
    file.seek(-4, 2)
    size: int = struct.unpack("<L", file.read(4))[0]
    return size


def _unpacked_size(path: Path) -> int:
    size = 0
    with gzip.open(path, "rb") as unpacked:
        while chunk := unpacked.read(_CHUNK_BYTES):
            size += len(chunk)
    return size
