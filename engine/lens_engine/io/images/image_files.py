"""CT series in one image file each: NIfTI, MetaImage and NRRD, already in HU.

SimpleITK turns every header into LPS, so no other module knows that NIfTI is RAS.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from lens_engine.errors import SeriesError
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.hounsfield import canonical_hounsfield
from lens_engine.io.images.metaimage_length import is_complete_metaimage
from lens_engine.io.images.nifti_length import is_complete_nifti
from lens_engine.io.images.nifti_voxels import nifti_planes
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
    ".nii": (SeriesFormat.NIFTI, "NiftiImageIO"),
    ".nii.gz": (SeriesFormat.NIFTI, "NiftiImageIO"),
    ".mhd": (SeriesFormat.METAIMAGE, "MetaImageIO"),
    ".mha": (SeriesFormat.METAIMAGE, "MetaImageIO"),
    ".nrrd": (SeriesFormat.NRRD, "NrrdImageIO"),
    ".nhdr": (SeriesFormat.NRRD, "NrrdImageIO"),
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
        description=file_stem(path),
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
    reader = _reader_of(path)
    geometry = _numbered(_geometry(reader), leading_series_name(file_stem(path)))
    voxels, notes = canonical_hounsfield(_planes(path, reader), geometry)
    return Volume(voxels, geometry), notes


def read_image(path: Path) -> tuple[NDArray[Any], VolumeGeometry]:
    """Return the values of an image file as stored, `[k, j, i]`, and the geometry of their canonical form.

    Raises
    ------
    SeriesError, GeometryError
        As `describe_image_file`.
    """
    reader = _reader_of(path)
    return _values(path, reader), _geometry(reader)


def read_stored_values(path: Path) -> NDArray[Any]:
    """Return the values of an image file as stored, `[k, j, i]`, whatever its header says about directions.

    Raises
    ------
    SeriesError
        As `describe_image_file`.
    """
    return _values(path, _reader_of(path))


def read_image_geometry(path: Path) -> VolumeGeometry:
    """Return the geometry of the canonical form without reading voxels; a file that is cut off is refused all the same.

    Raises
    ------
    SeriesError, GeometryError
        As `describe_image_file`.
    """
    reader = _reader_of(path)
    if not _is_complete(path):
        raise _unreadable(path, "")
    return _geometry(reader)


def is_label_image(values: NDArray[Any]) -> bool:
    """Return whether the voxels look like labels: few different whole numbers, none of them negative."""
    if values.min() < 0:
        return False
    different = np.unique(values[:: max(1, len(values) // 64)])
    if len(different) > MAX_LABELS or not bool((different == np.rint(different)).all()):
        return False
    return len(np.unique(values)) <= MAX_LABELS


def _extension(path: Path) -> str:
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()


def _reader_of(path: Path) -> sitk.ImageFileReader:
    """Return a reader that knows the header."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_FORMATS[_extension(path)][1])
    reader.SetFileName(str(path))
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # what ITK warns about is refused or noted here
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, str(error)) from error
    _refuse_other_than_scalar_3d(path, reader)
    return reader


def _values(path: Path, reader: sitk.ImageFileReader) -> NDArray[Any]:
    if _is_nifti(path):
        return np.stack(tuple(_planes_of_nifti(path, reader)))
    values: NDArray[Any] = sitk.GetArrayFromImage(_image(path, reader))
    return values[0] if values.ndim == 4 else values


def _planes(path: Path, reader: sitk.ImageFileReader) -> Iterator[NDArray[Any]]:
    """Yield the planes `[j, i]` in the order of k, each valid until the next one is asked for."""
    if _is_nifti(path):
        yield from read_ahead(_planes_of_nifti(path, reader), ahead=1)
        return
    image = _image(path, reader)  # owns the memory that its view shows
    values = sitk.GetArrayViewFromImage(image)
    yield from values[0] if values.ndim == 4 else values


def _is_nifti(path: Path) -> bool:
    return _FORMATS[_extension(path)][0] is SeriesFormat.NIFTI


def _image(path: Path, reader: sitk.ImageFileReader) -> sitk.Image:
    try:
        image: sitk.Image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(path, str(error)) from error
    if not _is_complete(path):
        raise _unreadable(path, "")
    return image


def _planes_of_nifti(path: Path, reader: sitk.ImageFileReader) -> Iterator[NDArray[Any]]:
    columns, rows, slices = reader.GetSize()[:3]
    try:
        yield from nifti_planes(path, (slices, rows, columns))
    except (OSError, EOFError, ValueError, struct.error) as error:
        raise _unreadable(path, "") from error


def _geometry(reader: sitk.ImageFileReader) -> VolumeGeometry:
    size, axes = reader.GetSize(), len(reader.GetSize())
    matrix = np.asarray(reader.GetDirection(), dtype=np.float64).reshape(axes, axes)
    return VolumeGeometry.from_source(
        array_shape=(size[2], size[1], size[0]),
        spacing_xyz_mm=reader.GetSpacing()[:3],
        origin_xyz_mm=reader.GetOrigin()[:3],
        direction_matrix=matrix[:3, :3],
    )


def _is_complete(path: Path) -> bool:
    """Return whether no voxel is missing, as far as the header and the length of the file tell."""
    kind = _FORMATS[_extension(path)][0]
    if kind is SeriesFormat.NIFTI:
        return is_complete_nifti(path)
    return kind is not SeriesFormat.METAIMAGE or is_complete_metaimage(path)


def _refuse_other_than_scalar_3d(path: Path, reader: sitk.ImageFileReader) -> None:
    size = reader.GetSize()
    if reader.GetNumberOfComponents() != 1:
        raise SeriesError(
            f"{path.name} has {reader.GetNumberOfComponents()} values per voxel (RGB or a vector image)",
            "A CT has one value per voxel, its HU",
            "Choose the scan itself instead of a colour overlay",
        )
    if len(size) != 3 and not (len(size) == 4 and size[3] == 1):
        raise SeriesError(
            f"{path.name} has {len(size)} dimensions of {' x '.join(str(count) for count in size)} voxels",
            "A 3D volume is needed",
            "Split a 4D series into one file for each time or phase",
        )


def _unreadable(path: Path, reason: str) -> SeriesError:
    if "orthonormal" in reason or "orthogonal" in reason:
        return SeriesError(
            f"The axes of {path.name} are tilted: its header holds a matrix that is not orthogonal",
            "An untilted series with orthogonal axes is needed",
            "Resample it to a regular grid first",
        )
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
