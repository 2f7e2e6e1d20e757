"""The header of a NIfTI file, version 1 or 2: where its voxels lie and what their numbers mean.

NIfTI counts from the patient's left to right and from back to front (RAS); `_grid` is the one place where that becomes
LPS. Of its two ways to say where a volume lies, the same one counts as in ITK: a matrix of scanner coordinates, else
the quaternion, else any other matrix.
"""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import SeriesError
from lens_engine.io.images.image_header import Grid, ImageHeader, refuse_vectors, refuse_wrong_spacing, three_counts
from lens_engine.io.images.stored_voxels import Packing, StoredVoxels, first_bytes

_HEADER_BYTES = 540
"""So many bytes from the start of a file hold the header of either version."""
_MOST_DIMENSIONS = 7
_MAX_OFFSET_BYTES = 1 << 24
"""Voxels begin behind the header and its extensions, which are some text."""

_NUMBER_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_VALUES_PER_VOXEL = {32: 2, 128: 3, 1792: 2, 2304: 4}
"""Complex numbers and colours."""
_VECTOR_AXIS = 4
_PLACES = {
    348: {
        "dimensions": ("8h", 40), "type": ("2h", 70), "spacing": ("8f", 76), "offset": ("f", 108),
        "scaling": ("2f", 112), "units": ("B", 123), "codes": ("2h", 252), "quaternion": ("6f", 256),
        "matrix": ("12f", 280),
    },
    540: {
        "dimensions": ("8q", 16), "type": ("2h", 12), "spacing": ("8d", 104), "offset": ("q", 168),
        "scaling": ("2d", 176), "units": ("i", 500), "codes": ("2i", 344), "quaternion": ("6d", 352),
        "matrix": ("12d", 400),
    },
}  # fmt: skip
"""Formats and positions of what is read, by the size of the header, which tells NIfTI 1 from 2."""

_SCANNER = 1
"""The code of coordinates that the scanner gave; 0 says that there are none."""
_MM_OF_UNITS = {1: 1000.0, 2: 1.0, 3: 0.001}
_UNITS_OF_SPACE = 7
_DIRECTION_TOLERANCE = 1e-3
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])

_Fields = dict[str, tuple[Any, ...]]


def read_nifti_header(path: Path) -> ImageHeader:
    """Return what the header says.

    Raises
    ------
    SeriesError
        If it is that of no 3D CT.
    KeyError, ValueError, EOFError, struct.error, OSError
        If it is damaged.
    """
    packing = Packing.GZIP if path.name.lower().endswith(".gz") else Packing.NONE
    order, size, fields = _fields(first_bytes(path, _HEADER_BYTES, packing))
    axes = fields["dimensions"][0]
    if not 1 <= axes <= _MOST_DIMENSIONS:
        raise ValueError(f"{axes} dimensions")
    counts = fields["dimensions"][1 : 1 + axes]
    code = fields["type"][0]
    refuse_vectors(path, _VALUES_PER_VOXEL.get(code, 1))
    if axes > _VECTOR_AXIS:
        refuse_vectors(path, counts[_VECTOR_AXIS])
    counts = three_counts(path, counts)
    refuse_wrong_spacing(path, fields["spacing"][1:4])
    slope, intercept = _scaling(path, *fields["scaling"])
    offset = fields["offset"][0]
    if not 0 <= offset <= _MAX_OFFSET_BYTES:
        raise ValueError(f"The voxels begin at byte {offset}")
    number_type = np.dtype(order + _NUMBER_TYPES[code])
    voxels = StoredVoxels(path, counts, number_type, packing, 0, max(int(offset), size), slope, intercept)
    return ImageHeader(voxels, _grid(path, fields))


def _fields(content: bytes) -> tuple[str, int, _Fields]:
    """Return the byte order, the size of the header and what is needed of it."""
    for order in ("<", ">"):
        size = struct.unpack_from(f"{order}i", content)[0]
        if size in _PLACES:
            places = _PLACES[size].items()
            return order, size, {key: struct.unpack_from(order + form, content, at) for key, (form, at) in places}
    raise ValueError("No header of NIfTI 1 or 2")


def _scaling(path: Path, slope: float, intercept: float) -> tuple[float, float]:
    """Return slope and intercept; a slope of 0, or none, says that nothing is scaled (NIfTI 1.1)."""
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(intercept):
        raise SeriesError(
            f"The header of {path.name} scales its values by {slope:g} and adds {intercept:g}",
            "A finite number to add is needed, for HU",
            "Convert the scan again from its source",
        )
    return slope, intercept


def _grid(path: Path, fields: _Fields) -> Grid:
    mm = _MM_OF_UNITS.get(fields["units"][0] & _UNITS_OF_SPACE, 1.0)
    i, j, k = (value * mm for value in fields["spacing"][1:4])
    directions, origin = _place(path, fields)
    columns = [[float(value) for value in column] for column in directions.T]
    return Grid(
        spacing_mm=(i, j, k),
        origin_mm=(float(origin[0]) * mm, float(origin[1]) * mm, float(origin[2]) * mm),
        directions=(_vector(columns[0]), _vector(columns[1]), _vector(columns[2])),
    )


def _place(path: Path, fields: _Fields) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the directions of the axes as columns, and where the first voxel lies, both in LPS."""
    of_quaternion, of_matrix = fields["codes"]
    if of_quaternion <= 0 and of_matrix <= 0:
        return np.eye(3), np.zeros(3)
    matrix = np.asarray(fields["matrix"], dtype=np.float64).reshape(3, 4)
    lengths = np.linalg.norm(matrix[:, :3], axis=0)
    directions = matrix[:, :3] / np.where(lengths > 0, lengths, 1.0)
    is_upright = bool(np.abs(directions.T @ directions - np.eye(3)).max() <= _DIRECTION_TOLERANCE)
    if of_quaternion > 0 and not (of_matrix == _SCANNER and is_upright):
        return _RAS_TO_LPS @ _rotation(fields), _RAS_TO_LPS @ np.asarray(fields["quaternion"][3:], dtype=np.float64)
    if not is_upright:
        raise SeriesError(
            f"The axes of {path.name} are tilted: its header holds a matrix that is not orthogonal",
            "An untilted series with orthogonal axes is needed",
            "Resample it to a regular grid first",
        )
    return _RAS_TO_LPS @ directions, _RAS_TO_LPS @ matrix[:, 3]


def _rotation(fields: _Fields) -> NDArray[np.float64]:
    """Return the rotation of the quaternion, whose first part is left out in the file, with the side of the k axis."""
    b, c, d = (float(value) for value in fields["quaternion"][:3])
    rest = 1.0 - (b * b + c * c + d * d)
    if not rest > -_DIRECTION_TOLERANCE:
        raise ValueError("The quaternion is none of a rotation")
    a = math.sqrt(max(rest, 0.0))
    norm = math.sqrt(a * a + b * b + c * c + d * d)
    a, b, c, d = a / norm, b / norm, c / norm, d / norm
    k_side = -1.0 if fields["spacing"][0] < 0 else 1.0
    return np.asarray(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c) * k_side],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b) * k_side],
            [2 * (b * d - a * c), 2 * (c * d + a * b), (a * a + d * d - b * b - c * c) * k_side],
        ]
    )


def _vector(values: list[float]) -> tuple[float, float, float]:
    return values[0], values[1], values[2]
