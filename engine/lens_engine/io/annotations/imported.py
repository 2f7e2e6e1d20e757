"""What an annotation file says, in canonical boxes, before it is compared with a project."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lens_engine.findings import Box3D, SliceBox, Split
from lens_engine.geometry import VolumeGeometry


class AnnotationFormat(StrEnum):
    """The kind of file annotations come from."""

    DEEPLESION_CSV = "DL_info.csv"
    """RECIST boxes on key slices; partial."""
    MANUAL_TEST_SET = "manual test set"
    """Complete 3D boxes of named sub-volumes: a reference for evaluation."""
    INSTANCE_MASK = "instance mask"
    RTSTRUCT = "RTSTRUCT"


class TestSetPart(StrEnum):
    """The two parts of the published manual test set; both come from DeepLesion's test patients."""

    __test__ = False  # pytest must not collect it for its name

    VAL = "val"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """A series of the project that an annotation file may speak of.

    Attributes
    ----------
    name
        The name in the catalog. DL_info.csv and the manual test set are matched by it, so give only those names that
        come from the source, not pseudonymous ones.
    folder
        The folder of its files, which decides between two series on the same grid.
    """

    name: str
    series_uid: str | None
    geometry: VolumeGeometry | None
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class ImportedLesion:
    """One annotated lesion.

    Attributes
    ----------
    series_name
        Name of the known series; for a manual test set the name of the sub-volume in the file, known or not.
    first_slice_number
        Number that the source gives to the slice with index 0 in `box` and `slices`. Equal to that of the series'
        geometry where the series is known.
    key_slice
        Index of the only annotated slice, where `box` spans just that one; None for a 3D box.
    """

    series_name: str
    first_slice_number: int
    box: Box3D
    slices: tuple[SliceBox, ...]
    key_slice: int | None = None
    lesion_type: str | None = None
    is_noisy: bool = False


@dataclass(frozen=True, slots=True)
class ImportedSubVolume:
    """A series or sub-volume that the file names, even if it has no lesion.

    Attributes
    ----------
    part
        Part of a manual test set, whose sub-volumes are completely annotated.
    split
        Official split of the patient, where the file says one.
    """

    name: str
    part: TestSetPart | None = None
    split: Split | None = None


@dataclass(frozen=True, slots=True)
class ImportedAnnotations:
    """Everything one annotation file says, in the order of the file."""

    format: AnnotationFormat
    source_file: str
    lesions: tuple[ImportedLesion, ...]
    sub_volumes: tuple[ImportedSubVolume, ...]
    notes: tuple[str, ...] = ()
