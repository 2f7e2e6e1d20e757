"""Tell a truncated NIfTI file from a complete one without reading its voxels."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from lens_engine.io.images.nifti_header import HEADER_BYTES, parse_nifti_header

_CHUNK_BYTES = 1 << 22


def is_complete_nifti(path: Path) -> bool:
    """Return whether a NIfTI file holds as many bytes as its header announces."""
    try:
        if not path.name.lower().endswith(".gz"):
            with path.open("rb") as file:
                header = parse_nifti_header(file.read(HEADER_BYTES))
            return header is not None and path.stat().st_size >= header.end_bytes
        with gzip.open(path, "rb") as unpacked:
            header = parse_nifti_header(unpacked.read(HEADER_BYTES))
        if header is None:
            return False
        with path.open("rb") as file:
            return _size_in_trailer(file) == header.end_bytes % 2**32 or _unpacked_size(path) >= header.end_bytes
    except (EOFError, gzip.BadGzipFile, zlib.error, struct.error):
        return False


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
