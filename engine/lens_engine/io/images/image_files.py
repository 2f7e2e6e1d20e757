"""CT series in one image file each: NIfTI, MetaImage and NRRD, already in HU.

The readers of headers turn everything into LPS, so no other module knows that NIfTI is RAS.
"""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import SeriesError
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.hounsfield import canonical_hounsfield, canonical_slices
from lens_engine.io.images.image_header import ImageHeader
from lens_engine.io.images.metaimage_header import read_metaimage_header
from lens_engine.io.images.nifti_header import read_nifti_header
from lens_engine.io.images.nrrd_header import read_nrrd_header
from lens_engine.io.images.stored_voxels import Packing, is_complete, single_planes, stored_planes
from lens_engine.io.plain_words import plain_description
from lens_engine.io.series_source import (
    FoundSeries,
    GivenName,
    SeriesFormat,
    SeriesSource,
    SkipReason,
    file_stem,
    leading_series_name,
)
from lens_engine.read_ahead import read_ahead
from lens_engine.volume import Volume

MAX_LABELS = 512
"""An image of whole, non-negative numbers with at most this many different ones is a label mask, not a CT."""

_FORMATS = {
    ".nii": (SeriesFormat.NIFTI, read_nifti_header),
    ".nii.gz": (SeriesFormat.NIFTI, read_nifti_header),
    ".mhd": (SeriesFormat.METAIMAGE, read_metaimage_header),
    ".mha": (SeriesFormat.METAIMAGE, read_metaimage_header),
    ".nrrd": (SeriesFormat.NRRD, read_nrrd_header),
    ".nhdr": (SeriesFormat.NRRD, read_nrrd_header),
}


def is_image_file(path: Path) -> bool:
    """Return whether the name is that of a NIfTI, MetaImage or NRRD file."""
    return _extension(path) in _FORMATS


def describe_image_file(path: Path) -> FoundSeries | str:
    """Return the series in one image file, or the reason to skip it. Reads the voxels: they tell a mask from a CT.

    Raises
    ------
    SeriesError, GeometryError
        If the file is broken, has not three dimensions or has several values per voxel.
    """
    values, geometry = read_image(path)
    if is_label_image(values):
        return SkipReason.LABEL_IMAGE
    given = leading_series_name(file_stem(path))
    geometry = _numbered(geometry, given)
    voxels, notes = canonical_hounsfield(values, geometry)
    key = f"file:{_content_key(voxels, geometry)}"
    return FoundSeries(
        source=SeriesSource(_FORMATS[_extension(path)][0], (path,)),
        patient_key=given.patient_key if given else key,
        study_key=given.study_key if given else key,
        series_key=key,
        study_date=None,
        description=given.name if given else plain_description(file_stem(path)),
        geometry=geometry,
        given_name=given.name if given else None,
        notes=notes,
    )


def read_image_volume(source: SeriesSource) -> tuple[Volume, tuple[str, ...]]:
    """Read the voxels of an image file as canonical int16 HU, with notes.

    Raises
    ------
    SeriesError, GeometryError
        As `describe_image_file`.
    """
    path = source.paths[0]
    header = _header(path)
    geometry = _numbered(header.geometry, leading_series_name(file_stem(path)))
    voxels, notes = canonical_hounsfield(read_ahead(_planes(path, header), ahead=1), geometry)
    return Volume(voxels, geometry), notes


def image_files_of(path: Path) -> tuple[Path, ...]:
    """Return an image file and, where it is another one, the file with its voxels.

    Raises
    ------
    SeriesError
        As `describe_image_file`.
    """
    return tuple(dict.fromkeys((path, _header(path).voxels.path)))


def read_image_slices(path: Path, geometry: VolumeGeometry, wanted: Sequence[int]) -> NDArray[np.int16] | None:
    """Return some slices of the canonical volume, ascending; None where only the whole file gives them.

    Parameters
    ----------
    geometry
        Of the whole canonical volume, as it was when the file was described.

    Raises
    ------
    SeriesError, GeometryError
        As `describe_image_file`.
    """
    header = _header(path)
    columns, rows, slices = header.voxels.counts
    is_as_described = geometry.source_axes[0] == 0 and geometry.source_shape() == (slices, rows, columns)
    if header.voxels.packing is not Packing.NONE or not is_as_described:
        return None
    try:
        return canonical_slices(single_planes(header.voxels, geometry.source_planes(wanted)), geometry, len(wanted))
    except (OSError, EOFError, ValueError) as error:
        raise _unreadable(path) from error


def read_image(path: Path) -> tuple[NDArray[Any], VolumeGeometry]:
    """Return the values of an image file as stored, `[k, j, i]`, and the geometry of their canonical form.

    Raises
    ------
    SeriesError, GeometryError
        As `describe_image_file`.
    """
    header = _header(path)
    geometry = header.geometry
    return _values(path, header), geometry


def read_stored_values(path: Path) -> NDArray[Any]:
    """Return the values of an image file as stored, `[k, j, i]`, whatever its header says about directions.

    Raises
    ------
    SeriesError
        As `describe_image_file`.
    """
    return _values(path, _header(path))


def read_image_geometry(path: Path) -> VolumeGeometry:
    """Return the geometry of the canonical form without reading voxels; an unpacked file that is cut off is refused.

    Raises
    ------
    SeriesError, GeometryError
        As `describe_image_file`.
    """
    return _header(path).geometry


def is_label_image(values: NDArray[Any]) -> bool:
    """Return whether the voxels look like labels: few different whole numbers, none of them negative."""
    middle_first = sorted(range(len(values)), key=lambda index: abs(index - len(values) // 2))
    different = np.empty(0, values.dtype)
    for index in middle_first:  # one after the other, so that a scan is known from its middle slice
        different = np.union1d(different, values[index])
        if len(different) > MAX_LABELS or different[0] < 0 or not bool((different == np.rint(different)).all()):
            return False
    return True


def _extension(path: Path) -> str:
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()


def _header(path: Path) -> ImageHeader:
    """Return the header of a file whose voxels are all there, as far as it and the length of the file tell."""
    try:
        header = _FORMATS[_extension(path)][1](path)
        if is_complete(header.voxels):
            return header
    except (OSError, EOFError, LookupError, ValueError, struct.error) as error:
        raise _unreadable(path) from error
    raise _unreadable(path)


def _values(path: Path, header: ImageHeader) -> NDArray[Any]:
    columns, rows, slices = header.voxels.counts
    planes = _planes(path, header)
    first = next(planes)
    values = np.empty((slices, rows, columns), first.dtype)
    values[0] = first
    for target, plane in zip(values[1:], planes, strict=True):
        target[...] = plane
    return values


def _planes(path: Path, header: ImageHeader) -> Iterator[NDArray[Any]]:
    """Yield the planes `[j, i]` in the order of k."""
    try:
        yield from stored_planes(header.voxels)
    except (OSError, EOFError, ValueError) as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> SeriesError:
    return SeriesError(
        f"{path.name} cannot be read as {_FORMATS[_extension(path)][0].value}; it is damaged, incomplete,"
        " or the file with its voxels is missing",
        "A complete image file is needed",
        "Copy it again from its source",
    )


def _numbered(geometry: VolumeGeometry, given: GivenName | None) -> VolumeGeometry:
    """Return the geometry with the slice numbers that the name of the file gives, if it does."""
    if given is None or given.first_slice is None:
        return geometry
    return replace(geometry, first_slice_number=given.first_slice)


def _content_key(voxels: NDArray[np.int16], geometry: VolumeGeometry) -> str:
    """Return a hash that is the same for the same scan, whatever its file is called and however it is compressed."""
    digest = hashlib.sha256(voxels.astype("<i2", copy=False).data)
    digest.update(repr((geometry.shape, [round(value, 4) for value in geometry.spacing_mm])).encode())
    return digest.hexdigest()
