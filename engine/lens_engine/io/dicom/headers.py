"""The headers of DICOM CT images: one pass without pixels that sorts CT slices from their company.

Each file becomes a `CtHeader`, a reason to skip it, or an error that names what is broken.
"""

import struct
import warnings
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
    RTStructureSetStorage,
)

from lens_engine.errors import SeriesError
from lens_engine.io.dicom.file_meta import is_dicom, refuse_unpacking_too_far
from lens_engine.io.dicom.pixels import PIXEL_TAGS, PlainPixels, plain_pixels
from lens_engine.io.dicom.values import BROKEN_DICOM, HeaderValues
from lens_engine.io.plain_words import plain_description
from lens_engine.io.series_source import SkipReason

Vector = tuple[float, float, float]
_Values = Dataset | HeaderValues

_CT_CLASSES = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_SECONDARY_CAPTURE_PREFIX = "1.2.840.10008.5.1.4.1.1.7"
_REPORT_PREFIX = "1.2.840.10008.5.1.4.1.1.88."
_DOSE_REPORTS = ("1.2.840.10008.5.1.4.1.1.88.67", "1.2.840.10008.5.1.4.1.1.88.68")
_KEYWORDS = [
    "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "PatientID", "StudyInstanceUID", "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "StudyDate", "SeriesDescription", "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *PIXEL_TAGS,
]  # fmt: skip
_TAGS = [Tag(keyword) for keyword in _KEYWORDS]
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_UNDEFINED_LENGTH = 0xFFFFFFFF
_ITEM = b"\xfe\xff\x00\xe0"
_DELIMITER = b"\xfe\xff\xdd\xe0"


@dataclass(frozen=True, slots=True)
class Plane:
    """Where one image lies: LPS millimetres and unit vectors.

    Attributes
    ----------
    label
        How messages name the image: the file, with the frame in a multi-frame file.
    position_mm
        Centre of the first voxel.
    row_direction, column_direction
        Directions in which the column index and the row index grow.
    spacing_mm
        Distance of the rows, then of the columns, as in PixelSpacing.
    size
        Rows, columns.
    """

    label: str
    position_mm: Vector
    row_direction: Vector
    column_direction: Vector
    spacing_mm: tuple[float, float]
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class CtHeader:
    """What the header of one DICOM file of a CT series says; one plane, or one for each frame.

    Attributes
    ----------
    rescale
        HU = slope * pixel + intercept.
    pixels
        Where uncompressed pixels of a single plane lie; None where they take a decoder.
    frame_uid
        FrameOfReferenceUID: equal where positions are in the same coordinates; empty where the header has none.
    """

    path: Path
    series_uid: str
    study_uid: str
    patient_id: str
    study_date: date | None
    description: str
    compression: str
    planes: tuple[Plane, ...]
    is_multi_frame: bool
    has_rescale: bool
    rescale: tuple[float, float]
    frame_uid: str = ""
    pixels: PlainPixels | None = None


class DamagedSliceError(SeriesError):
    """A CT image that is cut off or whose header is broken.

    Attributes
    ----------
    series_uid
        The series that is incomplete without it; None where the file is too damaged to say.
    """

    def __init__(self, path: Path, what: str, series_uid: str | None) -> None:
        super().__init__(
            f"{path.name} is truncated or damaged: {what}",
            "A complete DICOM file is needed",
            "Copy the file again from its source",
        )
        self.series_uid = series_uid


def read_header(path: Path) -> CtHeader | str:
    """Return the header of a CT image, or the reason why the file is not one (a `SkipReason`, perhaps with details).

    Raises
    ------
    DamagedSliceError
        If the file is a CT image whose header is broken, or which ends before its pixels do.
    SeriesError
        If it is a CT image of a kind that cannot be used, or cannot be read at all.
    """
    with warnings.catch_warnings(action="ignore"):  # odd values in tags nobody needs are no news to the user
        return _read_header(path)


def _read_header(path: Path) -> CtHeader | str:
    series_uid: str | None = None
    try:
        with path.open("rb") as file:
            if not is_dicom(file):
                return SkipReason.OTHER_FILE
            refuse_unpacking_too_far(file, path.name)
            dataset = HeaderValues(pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS))
            reason = _reason_to_skip(dataset)
            if reason is not None:
                return reason
            series_uid = str(dataset.SeriesInstanceUID)
            header = _parse(path, dataset)
            element = _pixel_element(file, dataset)
            lack = None if element is None else _lack_of_pixels(file, dataset, element)
            if element is not None and element.tag == _PIXEL_DATA and not header.is_multi_frame:
                header = replace(header, pixels=plain_pixels(dataset, element.offset_bytes))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        missing = error.name if isinstance(error, AttributeError) else error
        raise DamagedSliceError(path, f"{missing} is missing or unreadable", series_uid) from error
    except BROKEN_DICOM as error:
        raise DamagedSliceError(path, str(error), series_uid) from error
    except OSError as error:
        raise SeriesError(
            f"{path} cannot be read: {error.strerror or error}",
            "A readable file is needed",
            "Check the medium and the rights",
        ) from error
    if lack is not None:
        raise DamagedSliceError(path, lack, series_uid)
    return header


def _reason_to_skip(dataset: HeaderValues) -> str | None:
    sop_class = str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or "")
    if sop_class == MediaStorageDirectoryStorage:
        return SkipReason.DICOM_DIRECTORY
    if sop_class in _DOSE_REPORTS:
        return SkipReason.DOSE_SHEET
    if sop_class.startswith(_REPORT_PREFIX):
        return SkipReason.REPORT
    if sop_class.startswith(_SECONDARY_CAPTURE_PREFIX):
        return SkipReason.SECONDARY_CAPTURE
    if sop_class == RTStructureSetStorage:
        return SkipReason.CONTOURS
    modality = str(dataset.get("Modality") or "")
    if sop_class not in _CT_CLASSES or modality not in {"CT", ""}:
        return f"{SkipReason.WRONG_MODALITY} {modality or UID(sop_class).name}"
    image_type = [str(value).upper() for value in _several(dataset.get("ImageType"))]
    if "LOCALIZER" in image_type:
        return SkipReason.SCOUT
    return None


def _parse(path: Path, dataset: HeaderValues) -> CtHeader:
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise SeriesError(
            f"{path.name} is a colour image with {dataset.SamplesPerPixel} values per pixel",
            "A CT has one value per pixel, its HU",
            "Choose the original series instead of a colour capture",
        )
    is_multi_frame = int(dataset.get("NumberOfFrames") or 1) > 1 or "PerFrameFunctionalGroupsSequence" in dataset
    slope_known = "RescaleSlope" in dataset and "RescaleIntercept" in dataset
    planes, rescale = _frames(path, dataset) if is_multi_frame else _single(path, dataset)
    return CtHeader(
        path=path,
        series_uid=str(dataset.SeriesInstanceUID),
        study_uid=str(dataset.StudyInstanceUID),
        patient_id=str(dataset.get("PatientID") or ""),
        study_date=_date(str(dataset.get("StudyDate") or "")),
        description=plain_description(str(dataset.get("SeriesDescription") or "")),
        compression=UID(dataset.file_meta.TransferSyntaxUID).name,
        planes=planes,
        is_multi_frame=is_multi_frame,
        has_rescale=is_multi_frame or slope_known,
        rescale=rescale,
        frame_uid=str(dataset.get("FrameOfReferenceUID") or ""),
    )


def _single(path: Path, dataset: HeaderValues) -> tuple[tuple[Plane, ...], tuple[float, float]]:
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    rescale = (1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))
    return (_plane(path.name, dataset, dataset, dataset, dataset),), rescale


def _frames(path: Path, dataset: HeaderValues) -> tuple[tuple[Plane, ...], tuple[float, float]]:
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        raise SeriesError(
            f"{path.name} is a multi-frame image that does not say where its frames lie",
            "An enhanced CT has per-frame functional groups",
            "Export the series as enhanced CT or as single slices",
        )
    shared = dataset.SharedFunctionalGroupsSequence[0] if dataset.get("SharedFunctionalGroupsSequence") else Dataset()
    planes = []
    rescales = set()
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence, start=1):
        rescale = _group("PixelValueTransformationSequence", frame, shared)
        rescales.add((float(rescale.RescaleSlope), float(rescale.RescaleIntercept)))
        plane = _plane(
            f"{path.name} frame {number}",
            dataset,
            _group("PlanePositionSequence", frame, shared),
            _group("PlaneOrientationSequence", frame, shared),
            _group("PixelMeasuresSequence", frame, shared),
        )
        planes.append(plane)
    if len(planes) != int(dataset.NumberOfFrames):
        raise ValueError(f"{dataset.NumberOfFrames} frames are announced and {len(planes)} described")
    if len(rescales) != 1:
        raise SeriesError(
            f"The frames of {path.name} have {len(rescales)} different rescale slopes and intercepts",
            "One for all frames is supported",
            "Export the series as single slices",
        )
    return tuple(planes), rescales.pop()


def _group(name: str, frame: Dataset, shared: Dataset) -> Dataset:
    """Return a functional group, which may stand with the frame or once for all."""
    sequence = frame.get(name) or shared.get(name)
    if not sequence:
        raise KeyError(name)
    item: Dataset = sequence[0]
    return item


def _plane(label: str, image: HeaderValues, position: _Values, orientation: _Values, measures: _Values) -> Plane:
    directions = [float(value) for value in orientation.ImageOrientationPatient]
    row_spacing, column_spacing = (float(value) for value in measures.PixelSpacing)
    x, y, z = (float(value) for value in position.ImagePositionPatient)
    return Plane(
        label=label,
        position_mm=(x, y, z),
        row_direction=(directions[0], directions[1], directions[2]),
        column_direction=(directions[3], directions[4], directions[5]),
        spacing_mm=(row_spacing, column_spacing),
        size=(int(image.Rows), int(image.Columns)),
    )


@dataclass(frozen=True, slots=True)
class _PixelElement:
    """The element in front of which pydicom has stopped; an empty tag if the file ends there."""

    tag: bytes
    length: int
    offset_bytes: int


def _pixel_element(file: BinaryIO, dataset: HeaderValues) -> _PixelElement | None:
    """Return the tag and the length of the pixel data, or None where they are packed with the whole data set."""
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    if syntax.is_deflated:
        return None
    order = "<" if syntax.is_little_endian else ">"
    head = file.read(8 if syntax.is_implicit_VR else 12)
    if len(head) < 8:
        return _PixelElement(b"", 0, file.tell())
    length: int = struct.unpack(f"{order}L", head[-4:])[0]
    return _PixelElement(head[:4], length, file.tell())


def _lack_of_pixels(file: BinaryIO, dataset: HeaderValues, element: _PixelElement) -> str | None:
    """Return what is missing of the pixel data, or None."""
    if not element.tag:
        return "it ends before its pixels"
    start, length = element.offset_bytes, element.length
    size = file.seek(0, 2)
    if length == _UNDEFINED_LENGTH:
        return None if _fragments_are_complete(file, start, size) else "its compressed pixels end early"
    frames = int(dataset.get("NumberOfFrames") or 1)
    needed = max(length, int(dataset.Rows) * int(dataset.Columns) * frames * (int(dataset.BitsAllocated) // 8))
    return None if size - start >= needed else f"it has {size - start} of {needed} bytes of pixels"


def _fragments_are_complete(file: BinaryIO, start: int, size: int) -> bool:
    """Step over the items of encapsulated pixel data up to their delimiter (DICOM PS3.5 A.4)."""
    position = start
    while position < size:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return False
        tag, length = head[:4], struct.unpack("<L", head[4:])[0]
        if tag == _DELIMITER:
            return True
        if tag != _ITEM:
            return False
        position += 8 + length
    return False


def _several(value: object) -> list[object]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]  # pydicom MultiValue is untyped


def _date(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None
