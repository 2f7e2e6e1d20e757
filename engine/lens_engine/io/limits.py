"""How much a file may ask for: what its header announces is held against these limits before memory is taken.

A file of a few kilobytes can announce, or unpack to, more than any machine has.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from lens_engine.errors import AnnotationFileError, ConfigError, SeriesError

MEGAVOXELS_VARIABLE = "LENS_MAX_MEGAVOXELS"
"""The environment variable that raises or lowers how many million voxels one scan may have."""
DEFAULT_MEGAVOXELS = 1200
"""More than 1024 slices of 1024 x 1024, or 4500 of 512 x 512."""
MAX_TABLE_BYTES = 1 << 28
"""Largest file of annotations that is no image: DL_info.csv has 12 MB, a large structure set 100 MB."""
MAX_UNPACKED_DICOM_BYTES = 1 << 28
"""To so much a DICOM file may unpack that is packed as a whole (deflated); a slice of 1024 x 1024 has 2 MB."""
MAX_REST_BYTES = 1 << 20
"""So much may follow the voxels in a packed file; what goes on for longer is no image of the announced size."""

_MILLION = 10**6


def max_voxels() -> int:
    """Return how many voxels one scan may have.

    Raises
    ------
    ConfigError
        If the environment variable holds no positive number.
    """
    text = os.environ.get(MEGAVOXELS_VARIABLE, "").strip() or str(DEFAULT_MEGAVOXELS)
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ConfigError(
            f"The environment variable {MEGAVOXELS_VARIABLE} is {text!r}",
            "A whole number of million voxels is needed",
            f"Set it to {DEFAULT_MEGAVOXELS}, for example, or unset it",
        )
    return int(text) * _MILLION


def refuse_huge_scan(name: str, counts: Sequence[int]) -> None:
    """Refuse a scan that announces more voxels than one may have.

    Raises
    ------
    SeriesError
        If it does; the message names the environment variable that raises the limit.
    """
    voxels, most = math.prod(counts), max_voxels()
    if voxels > most:
        megavoxels = -(-voxels // _MILLION)
        raise SeriesError(
            f"{name} announces {' x '.join(str(count) for count in counts)} voxels, {megavoxels} million",
            f"A scan may have at most {most // _MILLION} million voxels",
            f"If it really is that large, set the environment variable {MEGAVOXELS_VARIABLE} to {megavoxels};"
            " reading takes up to 12 bytes of memory for each voxel",
        )


def read_table_bytes(path: Path) -> bytes:
    """Return the content of a file of annotations.

    Raises
    ------
    OSError
        If it cannot be read.
    AnnotationFileError
        If it is larger than such files are.
    """
    with path.open("rb") as file:
        content = file.read(MAX_TABLE_BYTES + 1)
    if len(content) > MAX_TABLE_BYTES:
        raise AnnotationFileError(
            f"{path.name} is larger than {MAX_TABLE_BYTES >> 20} MiB",
            "Annotation files are much smaller",
            "Check that it is the right file, or split it",
        )
    return content
