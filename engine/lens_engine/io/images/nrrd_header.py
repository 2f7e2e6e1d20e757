"""The header of an NRRD file (.nrrd, .nhdr), as much of it as is needed to read a CT."""

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

_HEADER_BYTES = 1 << 20
_NAMES_OF_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_NUMBER_TYPES = {name: code for code, names in _NAMES_OF_TYPES.items() for name in names}
_PACKINGS = {"raw": Packing.NONE, "gzip": Packing.GZIP, "gz": Packing.GZIP}
_ORDERS = {"little": "<", "big": ">"}
_TO_LPS = {
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
}  # fmt: skip
_OF_SPACE = {"domain", "space", "???", "none", "time"}
_IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def read_nrrd_header(path: Path) -> ImageHeader:
    """Return what the header says.

    Raises
    ------
    SeriesError
        If it is that of no 3D CT, or names files elsewhere.
    KeyError, ValueError, OSError
        If it is damaged.
    """
    fields, end = _fields(path)
    counts = tuple(int(text) for text in fields["sizes"].split())
    if len(counts) != int(fields["dimension"]):
        raise ValueError("dimension and sizes differ")
    refuse_vectors(path, _values_per_voxel(fields, counts))
    size = three_counts(path, counts)
    return ImageHeader(_voxels(path, fields, size, end), _grid(path, fields))


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """Return the values by their fields in small letters without spaces, and where an attached header ends."""
    with path.open("rb") as file:
        content = file.read(_HEADER_BYTES)
    if not content.startswith(b"NRRD"):
        raise ValueError("No magic word")
    fields: dict[str, str] = {}
    end = 0
    for number, line in enumerate(content.split(b"\n")):
        end += len(line) + 1
        text = line.decode("latin-1").strip()
        if not text:
            break
        name, colon, value = text.partition(":")
        if number and colon and not text.startswith("#") and not value.startswith("="):
            fields[name.strip().lower().replace(" ", "")] = value.strip()
    return fields, end


def _values_per_voxel(fields: dict[str, str], counts: tuple[int, ...]) -> int:
    """Return how many values one voxel has: the count of an axis that is none of space."""
    kinds = fields.get("kinds", "").lower().split()
    vectors = [] if "spacedirections" not in fields else fields["spacedirections"].lower().split()
    values = 1
    for axis, count in enumerate(counts):
        is_of_vectors = axis < len(kinds) and kinds[axis] not in _OF_SPACE
        is_without_direction = axis < 1 and axis < len(vectors) and vectors[axis] == "none"
        if is_of_vectors or is_without_direction:
            values *= count
    return values


def _voxels(path: Path, fields: dict[str, str], counts: tuple[int, int, int], end: int) -> StoredVoxels:
    encoding = fields["encoding"].lower()
    if encoding not in _PACKINGS:
        raise SeriesError(
            f"The voxels of {path.name} are encoded as {encoding[:20]}",
            "The encodings raw and gzip are supported",
            "Convert it to NIfTI",
        )
    order = _ORDERS[fields.get("endian", "little").lower()]
    number_type = np.dtype(order + _NUMBER_TYPES[fields["type"].lower()])
    named = fields.get("datafile")
    data, start = (path, end) if named is None else (file_beside(path, named), 0)
    skipped = int(fields.get("byteskip", "0"))
    if int(fields.get("lineskip", "0")) != 0 or skipped < FROM_THE_END:
        raise ValueError("Lines, or a negative number of bytes, are to be skipped")
    packing = _PACKINGS[encoding]
    if packing is not Packing.NONE:
        return StoredVoxels(data, counts, number_type, packing, start, max(skipped, 0))
    voxels = StoredVoxels(data, counts, number_type, packing, 0, start + max(skipped, 0))
    return voxels.at_the_end() if skipped == FROM_THE_END else voxels


def _grid(path: Path, fields: dict[str, str]) -> Grid:
    if "spacedirections" not in fields:
        spacing = tuple(float(text) for text in fields.get("spacings", "1 1 1").split()[:3])
        refuse_wrong_spacing(path, spacing)
        return Grid((spacing[0], spacing[1], spacing[2]), (0.0, 0.0, 0.0), _IDENTITY)
    signs = np.asarray(_TO_LPS.get(fields.get("space", "").lower(), (1, 1, 1)), dtype=np.float64)
    steps = _vectors(fields["spacedirections"]) * signs
    origin = (_vectors(fields["spaceorigin"]) * signs)[0] if "spaceorigin" in fields else np.zeros(3)
    lengths = np.linalg.norm(steps, axis=1)
    refuse_wrong_spacing(path, tuple(float(length) for length in lengths))
    i, j, k = ((float(x), float(y), float(z)) for x, y, z in (steps / lengths[:, None])[:3])
    return Grid(
        (float(lengths[0]), float(lengths[1]), float(lengths[2])),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        (i, j, k),
    )


def _vectors(text: str) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """Return vectors written as `(x,y,z) (x,y,z)`, (n, 3); axes without one are left out."""
    pieces = text.replace(" ", "").lower().replace("none", "").strip("()").split(")(")
    return np.asarray([[float(number) for number in piece.split(",")] for piece in pieces]).reshape(-1, 3)
