"""CT series in DICOM files: single slices, and enhanced multi-frame."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from lens_engine.errors import SeriesError
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.dicom.geometry import MAX_POSITION_ERROR, regular_grid
from lens_engine.io.dicom.headers import CtHeader, read_header
from lens_engine.io.dicom.pixels import read_plain_pixels
from lens_engine.io.dicom.quiet_decoding import quiet_decoding
from lens_engine.io.hounsfield import canonical_hounsfield, canonical_slices, to_hounsfield
from lens_engine.io.limits import refuse_huge_scan
from lens_engine.io.series_source import (
    FoundSeries,
    GivenName,
    SeriesFormat,
    SeriesSource,
    SkipReason,
    parse_series_name,
)
from lens_engine.volume import Volume


def describe_series(headers: Sequence[CtHeader]) -> FoundSeries | str:
    """Return the series that the headers of one SeriesInstanceUID form, or the reason to skip it.

    Raises
    ------
    SeriesError, GeometryError
        If they do not form one regular volume, or its middle slice cannot be decoded.
    """
    if sum(len(header.planes) for header in headers) == 1:
        return SkipReason.SINGLE_IMAGE
    first = headers[0]
    given = parse_series_name(first.path.parent.name)
    ordered, geometry = _arrange(headers, given)
    notes = _check_middle_slice(ordered, geometry)
    if not all(header.has_rescale for header in headers):
        notes = (*notes, "The headers give no rescale slope and intercept; the stored values were taken as HU")
    if (
        given is not None
        and given.last_slice is not None
        and given.last_slice != geometry.slice_number(geometry.shape[0] - 1)
    ):
        notes = (*notes, f"The folder is named {given.name} but holds {geometry.shape[0]} slices")
    return FoundSeries(
        source=SeriesSource(SeriesFormat.DICOM, tuple(header.path for header in ordered), first.series_uid),
        patient_key=given.patient_key if given else f"dicom:{first.patient_id or first.study_uid}",
        study_key=given.study_key if given else f"dicom:{first.study_uid}",
        series_key=f"dicom:{first.series_uid}",
        frame_key=_frame_key(headers),
        study_date=first.study_date,
        description=first.description,
        geometry=geometry,
        given_name=given.name if given else None,
        notes=notes,
    )


def _frame_key(headers: Sequence[CtHeader]) -> str | None:
    """Return what names the coordinates of a series; None where its headers do not agree, or do not say."""
    uids = {header.frame_uid for header in headers}
    return f"dicom:{uids.pop()}" if len(uids) == 1 and "" not in uids else None


def read_dicom_volume(source: SeriesSource) -> tuple[Volume, tuple[str, ...]]:
    """Read the voxels of a DICOM series; its headers are checked again, because files may have changed.

    Raises
    ------
    SeriesError, GeometryError
        If a file is gone, broken, of another series, or cannot be decoded.
    """
    headers = [_header_again(path, source) for path in source.paths]
    ordered, geometry = _arrange(headers, parse_series_name(source.paths[0].parent.name))
    voxels, notes = canonical_hounsfield(_planes(ordered, geometry), geometry)
    return Volume(voxels, geometry), notes


def read_dicom_slices(
    source: SeriesSource, geometry: VolumeGeometry, wanted: Sequence[int]
) -> NDArray[np.int16] | None:
    """Return some slices of the canonical volume, ascending, from their files alone; None where that takes the others.

    That is so where a slice takes a decoder, lies in a multi-frame file, or not where its place in the series says.

    Parameters
    ----------
    geometry
        Of the whole canonical volume, as it was when the series was described.

    Raises
    ------
    SeriesError
        If a file is gone, broken, or of another series.
    """
    if geometry.source_axes[0] != 0 or len(source.paths) != geometry.shape[0]:
        return None
    numbers = geometry.source_planes(wanted)
    headers = [_header_again(source.paths[number], source) for number in numbers]
    _refuse_meaningless_values(headers)
    if not all(
        header.pixels is not None and _lies_at(header, geometry, number)
        for header, number in zip(headers, numbers, strict=True)
    ):
        return None
    return canonical_slices(_plain_planes(headers), geometry, len(wanted))


def _lies_at(header: CtHeader, geometry: VolumeGeometry, number: int) -> bool:
    """Return whether a single plane is plane k = `number` of the source array, as far as size and depth say."""
    if len(header.planes) != 1 or header.planes[0].size != geometry.source_shape()[1:]:
        return False
    (plane,) = header.planes
    first = [shape - 1 if flip else 0 for shape, flip in zip(geometry.shape, geometry.source_flips, strict=True)]
    first[0] = geometry.source_planes([number])[0]
    expected = geometry.index_to_mm(np.asarray(first, dtype=np.float64))
    along = (np.asarray(plane.position_mm) - expected) @ np.asarray(geometry.directions[0])
    return bool(abs(along) < geometry.spacing_mm[0] / 2)


def _header_again(path: Path, source: SeriesSource) -> CtHeader:
    header = read_header(path)
    if isinstance(header, str) or header.series_uid != source.series_uid:
        raise SeriesError(
            f"{path} is no longer a slice of series {source.series_uid}",
            "The files that were added to the project are needed",
            "Restore the folder, or add the new one",
        )
    return header


def _arrange(headers: Sequence[CtHeader], given: GivenName | None) -> tuple[tuple[CtHeader, ...], VolumeGeometry]:
    """Return the headers in the order of their slices, and the geometry."""
    if any(header.is_multi_frame for header in headers) and len(headers) > 1:
        raise SeriesError(
            f"Series {headers[0].series_uid} is spread over {len(headers)} files with several frames",
            "One multi-frame file, or one file for each slice, is supported",
            "Export the series as single slices",
        )
    _refuse_meaningless_values(headers)
    planes = [plane for header in headers for plane in header.planes]
    refuse_huge_scan(f"Series {headers[0].series_uid}", (len(planes), *planes[0].size))
    first_number = given.first_slice if given and given.first_slice is not None else 1
    order, geometry = regular_grid(planes, first_number)
    if headers[0].is_multi_frame:
        return (headers[0],), geometry
    return tuple(headers[index] for index in order), geometry


def _refuse_meaningless_values(headers: Sequence[CtHeader]) -> None:
    wrong = [header for header in headers if header.rescale[0] == 0 or not all(map(math.isfinite, header.rescale))]
    if wrong:
        slope, intercept = wrong[0].rescale
        raise SeriesError(
            f"{len(wrong)} of {len(headers)} files of series {headers[0].series_uid} do not say what their values"
            f" mean: {wrong[0].path.name} has the rescale slope {slope:g} and the intercept {intercept:g}",
            "A slope other than 0 and a finite intercept are needed, for HU",
            "Export the series again from its source",
        )


def _check_middle_slice(ordered: Sequence[CtHeader], geometry: VolumeGeometry) -> tuple[str, ...]:
    """Decode one slice, so that an unknown compression or values that are not HU are found when the series is added."""
    middle = ordered[len(ordered) // 2]
    if middle.is_multi_frame:
        return to_hounsfield(_read_multi_frame(middle, geometry))[1]
    if middle.pixels is not None:
        (values,) = _plain_planes([middle])
        return tuple(f"Middle slice: {note}" for note in to_hounsfield(values)[1])
    values = sitk.GetArrayFromImage(_decode(sitk.ReadImage, str(middle.path), middle.compression))
    return tuple(f"Middle slice: {note}" for note in to_hounsfield(values)[1])


def _planes(ordered: Sequence[CtHeader], geometry: VolumeGeometry) -> Iterator[NDArray[Any]]:
    """Yield the rescaled planes `[j, i]` in the order of their position."""
    if ordered[0].is_multi_frame:
        yield from _read_multi_frame(ordered[0], geometry)
    elif all(header.pixels is not None for header in ordered):
        yield from _plain_planes(ordered)
    else:
        image = _read_slices([header.path for header in ordered], geometry)
        for plane in _checked(image, geometry):
            yield plane.copy()  # the memory goes with the image, that is, with this generator


def _plain_planes(ordered: Sequence[CtHeader]) -> Iterator[NDArray[Any]]:
    for header in ordered:
        if header.pixels is None:
            continue
        try:
            yield read_plain_pixels(header.path, header.pixels, header.planes[0].size)
        except (OSError, ValueError) as error:
            raise _undecodable(header.path, header.compression) from error


def _read_slices(paths: Sequence[Path], geometry: VolumeGeometry) -> sitk.Image:
    """Return single slices in the given order, rescaled."""
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(path) for path in paths])
    image = _decode(lambda _: reader.Execute(), str(paths[0]), "")
    spacing_mm = geometry.spacing_mm[geometry.source_axes.index(0)]
    if abs(image.GetSpacing()[2] - spacing_mm) > MAX_POSITION_ERROR * spacing_mm:
        raise SeriesError(
            f"The decoder finds slices {image.GetSpacing()[2]:.3f} mm apart, the headers say {spacing_mm:.3f} mm",
            "One slice spacing is needed",
            "Copy the missing slices, or resample the series",
        )
    return image


def _read_multi_frame(header: CtHeader, geometry: VolumeGeometry) -> NDArray[np.generic]:
    """Return the rescaled values `[k, j, i]`, frames sorted by position."""
    order, _ = regular_grid(header.planes)
    image = _decode(sitk.ReadImage, str(header.path), header.compression)
    return np.take(_checked(image, geometry), order, axis=0)


def _checked(image: sitk.Image, geometry: VolumeGeometry) -> NDArray[np.generic]:
    """Return the values `[k, j, i]` of an image as a view, valid as long as the image is."""
    values = np.asarray(sitk.GetArrayViewFromImage(image))
    expected = geometry.source_shape()
    if values.shape != expected:
        raise SeriesError(
            f"The decoded pixels have shape {values.shape}", f"The headers announce {expected}", "Copy the series again"
        )
    return values


def _decode(read: Callable[[str], sitk.Image], path: str, compression: str) -> sitk.Image:
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # what ITK warns about is refused or noted here
    try:
        with quiet_decoding():
            return read(path)
    except RuntimeError as error:
        raise _undecodable(Path(path), compression) from error


def _undecodable(path: Path, compression: str) -> SeriesError:
    return SeriesError(
        f"The pixels of {path.name} cannot be decoded{f' ({compression})' if compression else ''}",
        "Uncompressed, RLE, JPEG, JPEG-LS or JPEG 2000 pixels in complete files are needed",
        "Copy the series again, or convert it to an uncompressed transfer syntax",
    )
