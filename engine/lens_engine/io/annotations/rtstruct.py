"""Lesions drawn as RTSTRUCT contours: polygons in LPS millimetres on the slices of a CT series.

A contour covers the voxels whose centres lie inside it; two contours of one lesion on one slice exclude each other
where they overlap, which is how holes are drawn.
"""

import io
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from lens_engine.errors import AnnotationFileError
from lens_engine.findings import SliceBox
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.annotations.instance_mask import LesionSlices, cross_sections
from lens_engine.io.dicom.file_meta import refuse_unpacking_too_far
from lens_engine.io.dicom.values import BROKEN_DICOM
from lens_engine.io.limits import read_table_bytes

_LESION_TYPES = {"GTV"}
_OPEN_TYPES = {"", "NONE"}
_MARGIN_NAMES = ("CTV", "PTV", "ITV")


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """One structure with its contours.

    Attributes
    ----------
    kind
        RTROIInterpretedType, in capitals; empty where the file does not say.
    contours_mm
        Closed polygons, each (points, 3) in LPS (x, y, z).
    """

    name: str
    kind: str
    contours_mm: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True, slots=True)
class StructureSet:
    """The contours of one file, and the SeriesInstanceUIDs they were drawn on."""

    series_uids: tuple[str, ...]
    regions: tuple[Region, ...]


def read_structure_set(path: Path) -> StructureSet:
    """Read every region with closed planar contours.

    Raises
    ------
    AnnotationFileError
        If the file is not a complete RTSTRUCT.
    """
    content = io.BytesIO(read_table_bytes(path))
    try:
        refuse_unpacking_too_far(content, path.name)
        with warnings.catch_warnings(action="ignore"):  # odd values in tags nobody needs are no news to the user
            dataset = pydicom.dcmread(content)
            sop_class = dataset.get("SOPClassUID")
            if sop_class == RTStructureSetStorage:
                return StructureSet(_referenced_series(dataset), _regions(dataset))
    except (*BROKEN_DICOM, OSError) as error:
        raise AnnotationFileError(
            f"{path.name} is not a complete RTSTRUCT ({error})",
            "Contours in a DICOM file are needed",
            "Export it again",
        ) from error
    raise AnnotationFileError(
        f"{path.name} is a DICOM {getattr(sop_class, 'name', 'file without a class')}",
        "Of DICOM files, RT Structure Sets hold annotations that can be imported",
        "Give the RTSTRUCT file; a scan is added with lens add",
    )


def lesion_regions(regions: Sequence[Region]) -> tuple[Region, ...]:
    """Return the lesions: what is called GTV if anything is, else all but organs, margins and devices."""
    called = tuple(item for item in regions if item.kind in _LESION_TYPES or item.name.upper().startswith("GTV"))
    if called:
        return called
    return tuple(
        item for item in regions if item.kind in _OPEN_TYPES and not item.name.upper().startswith(_MARGIN_NAMES)
    )


def rasterise(region: Region, geometry: VolumeGeometry) -> LesionSlices:
    """Return the cross-sections of the voxels whose centres lie inside the contours of a region.

    Raises
    ------
    AnnotationFileError
        If a contour lies outside the volume or across its slices.
    """
    depth, rows, columns = geometry.shape
    slices: dict[int, NDArray[np.bool_]] = {}
    for contour_mm in region.contours_mm:
        points = geometry.mm_to_index(contour_mm)
        index = round(float(points[:, 0].mean()))
        if np.abs(points[:, 0] - index).max() > 0.5 + 1e-3 or not 0 <= index < depth:
            raise AnnotationFileError(
                f"A contour of {region.name} lies at slice {points[:, 0].min():.2f} to {points[:, 0].max():.2f}"
                f" of a series with {depth} slices",
                "Contours drawn on the slices of the series are needed",
                "Choose the series they were drawn on",
            )
        inside = _inside(points[:, [2, 1]], rows, columns)
        slices[index] = slices[index] ^ inside if index in slices else inside
    sections: list[SliceBox] = []
    for index in sorted(slices):
        sections.extend(cross_sections(slices[index][None], offset=[index, 0, 0]))
    return tuple(sections)


def _inside(polygon: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.bool_]:
    """Return which pixel centres (rows, columns) lie inside a polygon (n, 2) of (x, y), by the even-odd rule."""
    inside = np.zeros((rows, columns), dtype=bool)
    x, y = polygon[:, 0], polygon[:, 1]
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    centres = np.arange(columns)
    for row in range(max(0, int(np.floor(y.min()))), min(rows, int(np.ceil(y.max())) + 1)):
        crossed = (y <= row) != (next_y <= row)
        share = (row - y[crossed]) / (next_y[crossed] - y[crossed])
        crossings = x[crossed] + share * (next_x[crossed] - x[crossed])
        inside[row] = np.count_nonzero(crossings[:, None] <= centres[None], axis=0) % 2 == 1
    return inside


def _points(values: Iterable[object]) -> NDArray[np.float64]:
    """Return the corners of a contour, (points, 3)."""
    points = np.asarray([float(str(value)) for value in values]).reshape(-1, 3)
    if not np.isfinite(points).all():
        raise ValueError("a contour has a corner that is not a number")
    return points


def _referenced_series(dataset: Dataset) -> tuple[str, ...]:
    uids = []
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            uids += [str(series.SeriesInstanceUID) for series in study.get("RTReferencedSeriesSequence") or ()]
    return tuple(dict.fromkeys(uids))


def _regions(dataset: Dataset) -> tuple[Region, ...]:
    names = {int(item.ROINumber): str(item.get("ROIName") or "") for item in dataset.StructureSetROISequence}
    kinds = {
        int(item.ReferencedROINumber): str(item.get("RTROIInterpretedType") or "").upper()
        for item in dataset.get("RTROIObservationsSequence") or ()
    }
    regions = []
    for item in dataset.ROIContourSequence:
        number = int(item.ReferencedROINumber)
        contours = tuple(
            _points(contour.ContourData)
            for contour in item.get("ContourSequence") or ()
            if contour.ContourGeometricType in {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}
        )
        if contours:
            regions.append(Region(names[number], kinds.get(number, ""), contours))
    return tuple(regions)
