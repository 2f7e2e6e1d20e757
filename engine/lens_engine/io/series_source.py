"""Where the files of a series are, and what a look at their headers says about it.

The readers of all formats share these names. They stand apart from `lens_engine.io.series`, which calls those readers.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path

from lens_engine.errors import LensError
from lens_engine.geometry import VolumeGeometry

SERIES_NAME = re.compile(
    r"(?P<patient>\d{6})_(?P<study>\d{2,})_(?P<series>\d{2,})(?:_(?P<first>\d{3,})-(?P<last>\d{3,}))?"
)
"""`{patient:06d}_{study:02d}_{series:02d}`, optionally `_{first:03d}-{last:03d}`: DeepLesion's names."""


class SeriesFormat(StrEnum):
    """How a series lies on disk."""

    DICOM = "dicom"
    NIFTI = "nifti"
    METAIMAGE = "metaimage"
    NRRD = "nrrd"
    DEEPLESION_PNG = "deeplesion-png"


class SkipReason(StrEnum):
    """Why a file beside a CT series is left alone."""

    SCOUT = "scout"
    DOSE_SHEET = "dose sheet"
    REPORT = "structured report"
    SECONDARY_CAPTURE = "secondary capture"
    CONTOURS = "RTSTRUCT contours"
    WRONG_MODALITY = "wrong modality"
    DICOM_DIRECTORY = "DICOMDIR"
    SINGLE_IMAGE = "single image without a volume"
    LABEL_IMAGE = "label mask"
    OTHER_FILE = "not an image of a scan"
    NO_FILE = "pipe or device, not a file"


@dataclass(frozen=True, slots=True)
class SeriesSource:
    """The files of one series: all that is needed to read its voxels again.

    Attributes
    ----------
    paths
        Absolute; the slices of a DICOM or PNG series in the order of their position, or the one image file.
    series_uid
        DICOM SeriesInstanceUID; None for the other formats.
    """

    format: SeriesFormat
    paths: tuple[Path, ...]
    series_uid: str | None = None


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A CT series on disk whose headers and geometry have been checked; it holds no name of a patient.

    Attributes
    ----------
    patient_key, study_key, series_key
        Equal for what belongs together, in any later scan too. They come from identifiers of the source
        (PatientID, UIDs), from a DeepLesion-like name or from the content of the file: store them hashed.
    study_date
        None where the source does not say.
    description
        What of the SeriesDescription, or of the name of the file, describes a CT; see `lens_engine.io.plain_words`.
    given_name
        A name of the form `000410_02_02` or `000410_02_02_039-099` that the folder or file carries.
    frame_key
        Equal for series whose positions are in the same coordinates, a FrameOfReferenceUID; None where the source does
        not say. To be stored hashed, too.
    notes
        What a user should know: values that do not look like HU, an unusual header.
    """

    source: SeriesSource
    patient_key: str
    study_key: str
    series_key: str
    study_date: date | None
    description: str
    geometry: VolumeGeometry
    given_name: str | None = None
    notes: tuple[str, ...] = ()
    frame_key: str | None = None

    @property
    def first_slice_number(self) -> int:
        """Return the number that the source gives to canonical slice 0."""
        return self.geometry.first_slice_number

    @property
    def last_slice_number(self) -> int:
        """Return the number that the source gives to the last canonical slice."""
        return self.geometry.slice_number(self.geometry.shape[0] - 1)


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What was found below the given paths.

    Attributes
    ----------
    found
        Readable CT series.
    skipped
        Number of files by reason: scouts, dose sheets, pictures, other modalities. Normal company of a CT series.
    problems
        CT series that cannot be used, and paths without any CT, each with what to do about it.
    """

    found: tuple[FoundSeries, ...]
    skipped: Counter[str] = field(default_factory=Counter)
    problems: tuple[LensError, ...] = ()


@dataclass(frozen=True, slots=True)
class GivenName:
    """A DeepLesion-like name, taken apart.

    Attributes
    ----------
    first_slice, last_slice
        Slice numbers of a sub-volume, both inclusive; None where the name stands for the whole series.
    """

    name: str
    patient: int
    study: int
    series: int
    first_slice: int | None = None
    last_slice: int | None = None

    @property
    def series_name(self) -> str:
        """Return the name without the slice range."""
        return f"{self.patient:06d}_{self.study:02d}_{self.series:02d}"

    @property
    def patient_key(self) -> str:
        """Return the key of the patient, the same for every series of this number."""
        return f"name:{self.patient:06d}"

    @property
    def study_key(self) -> str:
        """Return the key of the study."""
        return f"name:{self.patient:06d}_{self.study:02d}"


def parse_series_name(name: str) -> GivenName | None:
    """Return the parts of a DeepLesion-like name, or None for any other name. Extensions must be cut off before."""
    match = SERIES_NAME.fullmatch(name)
    return None if match is None else _given_name(match)


def leading_series_name(name: str) -> GivenName | None:
    """Return the DeepLesion-like name that `name` begins with, as in `000001_01_02_mask`, or None."""
    match = SERIES_NAME.match(name)
    if match is None or name[match.end() : match.end() + 1].isalnum():
        return None
    return _given_name(match)


def file_stem(path: Path) -> str:
    """Return the name of a file without its extension, `.nii.gz` counting as one."""
    name = path.name
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else path.stem


def _given_name(match: re.Match[str]) -> GivenName:
    first, last = match["first"], match["last"]
    return GivenName(
        name=match[0],
        patient=int(match["patient"]),
        study=int(match["study"]),
        series=int(match["series"]),
        first_slice=None if first is None else int(first),
        last_slice=None if last is None else int(last),
    )
