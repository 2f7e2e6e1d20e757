"""The header of a MetaImage (.mhd, .mha), as much of it as is needed to read a CT.

ITK's own reader is not asked: a header that announces more than ten dimensions makes it end the process.
"""

from pathlib import Path

import numpy as np

from lens_engine.errors import SeriesError
from lens_engine.io.images.image_header import (
    Grid,
    ImageHeader,
    file_beside,
    refuse_vectors,
    refuse_wrong_spacing,
    three_counts,
)
from lens_engine.io.images.stored_voxels import FROM_THE_END, Packing, StoredVoxels

_HEADER_BYTES = 1 << 16
_LAST_KEY = "ElementDataFile"
_NUMBER_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip


def read_metaimage_header(path: Path) -> ImageHeader:
    """Return what the header says.

    Raises
    ------
    SeriesError
        If it is that of no 3D CT, or names files elsewhere.
    KeyError, ValueError, OSError
        If it is damaged.
    """
    fields, end = _fields(path)
    counts = tuple(int(text) for text in fields["DimSize"].split())
    if len(counts) != int(fields["NDims"]):
        raise ValueError("NDims and DimSize differ")
    size = three_counts(path, counts)
    refuse_vectors(path, int(fields.get("ElementNumberOfChannels", "1")))
    return ImageHeader(_voxels(path, fields, size, end), _grid(path, fields, len(counts)))


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """Return the values by their keys, and where the header ends."""
    with path.open("rb") as file:
        content = file.read(_HEADER_BYTES)
    fields: dict[str, str] = {}
    end = 0
    for line in content.splitlines(keepends=True):
        end += len(line)
        key, equals, value = line.decode("latin-1").partition("=")
        if not equals:
            raise ValueError("A line without =")
        fields[key.strip()] = value.strip()
        if key.strip() == _LAST_KEY:
            return fields, end
    raise KeyError(_LAST_KEY)


def _voxels(path: Path, fields: dict[str, str], counts: tuple[int, int, int], end: int) -> StoredVoxels:
    if _is_true(fields, "BinaryData", "True") is False:
        raise SeriesError(
            f"The voxels of {path.name} are written as text", "Binary voxels are needed", "Convert it to NIfTI"
        )
    is_big = _is_true(fields, "BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False"))
    number_type = np.dtype((">" if is_big else "<") + _NUMBER_TYPES[fields["ElementType"]])
    named = fields[_LAST_KEY]
    is_local = named.upper() == "LOCAL"
    data = path if is_local else file_beside(path, named)
    skipped = int(fields.get("HeaderSize", "0"))
    start = end if is_local else 0
    if _is_true(fields, "CompressedData", "False"):
        return StoredVoxels(data, counts, number_type, Packing.ZLIB, start, 0)
    voxels = StoredVoxels(data, counts, number_type, Packing.NONE, 0, start if is_local else max(skipped, 0))
    if skipped < FROM_THE_END:
        raise ValueError("HeaderSize is negative")
    return voxels.at_the_end() if skipped == FROM_THE_END else voxels


def _grid(path: Path, fields: dict[str, str], axes: int) -> Grid:
    spacing = _numbers(fields, ("ElementSpacing", "ElementSize"), [1.0] * axes)[:3]
    refuse_wrong_spacing(path, spacing)
    origin = _numbers(fields, ("Offset", "Position", "Origin"), [0.0] * axes)
    matrix = _numbers(fields, ("TransformMatrix", "Rotation", "Orientation"), list(np.eye(axes).ravel()))
    rows = np.asarray(matrix, dtype=np.float64).reshape(axes, axes)[:3, :3]  # a row is the direction of one axis
    i, j, k = ((float(row[0]), float(row[1]), float(row[2])) for row in rows)
    return Grid((spacing[0], spacing[1], spacing[2]), (origin[0], origin[1], origin[2]), (i, j, k))


def _numbers(fields: dict[str, str], keys: tuple[str, ...], default: list[float]) -> tuple[float, ...]:
    text = next((fields[key] for key in keys if key in fields), None)
    numbers = tuple(default if text is None else (float(value) for value in text.split()))
    if len(numbers) != len(default):
        raise ValueError(f"{keys[0]} has {len(numbers)} numbers instead of {len(default)}")
    return numbers


def _is_true(fields: dict[str, str], key: str, default: str) -> bool:
    return fields.get(key, default).lower() in {"true", "1"}
