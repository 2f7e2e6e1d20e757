"""Where the voxels of a NIfTI file lie and what their numbers mean; what they mean in space is left to ITK."""

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

HEADER_BYTES = 540
"""So many bytes from the start of a file hold the header of either version."""

_NUMBER_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_PLACES = {
    348: {"dimensions": ("8h", 40), "type": ("2h", 70), "offset": ("f", 108), "scaling": ("2f", 112)},
    540: {"dimensions": ("8q", 16), "type": ("2h", 12), "offset": ("q", 168), "scaling": ("2d", 176)},
}
"""Formats and positions of what is read, by the size of the header, which tells NIfTI 1 from 2."""


@dataclass(frozen=True, slots=True)
class NiftiHeader:
    """What a header says that is needed to read the voxels.

    Attributes
    ----------
    counts
        Number of voxels along each axis, the fastest first.
    number_type
        The type of one voxel, in the byte order of the file; None for colours, complex numbers and other vectors.
    offset_bytes
        Where the first voxel lies, counted from the start of the unpacked file.
    slope, intercept
        Value = slope * number + intercept.
    """

    counts: tuple[int, ...]
    number_type: np.dtype[Any] | None
    bits: int
    offset_bytes: int
    slope: float
    intercept: float

    @property
    def voxels(self) -> int:
        """Return the number of voxels."""
        return math.prod(self.counts)

    @property
    def end_bytes(self) -> int:
        """Return the bytes up to the end of the voxels."""
        return self.offset_bytes + self.voxels * self.bits // 8


def parse_nifti_header(content: bytes) -> NiftiHeader | None:
    """Return what the first bytes of an unpacked file say, or None if they are not a header of NIfTI 1 or 2.

    Raises
    ------
    struct.error
        If there are too few of them.
    """
    for order in ("<", ">"):
        size = struct.unpack_from(f"{order}i", content)[0]
        if size in _PLACES:
            read = {key: struct.unpack_from(order + form, content, at) for key, (form, at) in _PLACES[size].items()}
            return _header(order, size, read)
    return None


def _header(order: str, size: int, read: dict[str, tuple[Any, ...]]) -> NiftiHeader:
    code, bits = read["type"]
    slope, intercept = read["scaling"]
    is_scaled = slope != 0 and math.isfinite(slope) and math.isfinite(intercept)
    return NiftiHeader(
        counts=read["dimensions"][1 : 1 + read["dimensions"][0]],
        number_type=np.dtype(order + _NUMBER_TYPES[code]) if code in _NUMBER_TYPES else None,
        bits=bits,
        offset_bytes=max(int(read["offset"][0]), size),
        slope=slope if is_scaled else 1.0,
        intercept=intercept if is_scaled else 0.0,
    )
