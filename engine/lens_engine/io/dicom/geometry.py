"""Check that the slices of a DICOM series form one regular, untilted grid, and describe it.

Slices are sorted by their position along the normal of the image plane; names and instance numbers play no part.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import SeriesError
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.dicom.headers import Plane

MAX_POSITION_ERROR = 0.1
"""Largest deviation from the regular grid, as a share of the slice spacing; some scanners round positions to 0.1 mm."""
MAX_DRIFT_PIXELS = 0.5
"""Largest sideways shift between the first and the last slice; a tilted gantry shifts by many pixels."""
_DIRECTION_TOLERANCE = 1e-3
_SPACING_TOLERANCE_MM = 1e-3


def regular_grid(planes: Sequence[Plane], first_slice_number: int = 1) -> tuple[tuple[int, ...], VolumeGeometry]:
    """Return the order of the planes along their normal, and the geometry of the volume they form in that order.

    Raises
    ------
    SeriesError
        If sizes, pixel spacings or orientations are mixed, a slice is missing, doubled or tilted; it names the slice.
    GeometryError
        If the grid is regular but not an upright one.
    """
    _refuse_numbers_without_a_meaning(planes)
    _refuse_mixed(planes)
    row, column = _directions(planes[0])
    normal = np.cross(row, column)
    positions = np.asarray([plane.position_mm for plane in planes], dtype=np.float64)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    labels = [planes[index].label for index in order]
    spacing = _slice_spacing(along[order], labels)
    _refuse_tilt(positions[order], normal, planes[0])
    rows, columns = planes[0].size
    row_spacing, column_spacing = planes[0].spacing_mm
    origin = positions[order[0]]
    geometry = VolumeGeometry.from_source(
        array_shape=(len(planes), rows, columns),
        spacing_xyz_mm=(column_spacing, row_spacing, spacing),
        origin_xyz_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction_matrix=np.stack([row, column, normal], axis=1),
        first_slice_number=first_slice_number,
    )
    return tuple(int(index) for index in order), geometry


def _refuse_numbers_without_a_meaning(planes: Sequence[Plane]) -> None:
    for plane in planes:
        if not all(math.isfinite(value) and value > 0 for value in plane.spacing_mm):
            raise SeriesError(
                f"The header of {plane.label} gives a pixel spacing of"
                f" {', '.join(f'{value:g}' for value in plane.spacing_mm)} mm",
                "Two positive numbers are needed",
                "Correct the header, or export the series again",
            )
        if not all(map(math.isfinite, (*plane.position_mm, *plane.row_direction, *plane.column_direction))):
            raise SeriesError(
                f"{plane.label} lies at {plane.position_mm} mm with the directions"
                f" {[*plane.row_direction, *plane.column_direction]}",
                "Finite numbers are needed",
                "Correct the header, or export the series again",
            )


def _directions(plane: Plane) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    row, column = np.asarray(plane.row_direction), np.asarray(plane.column_direction)
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(row @ column)) > _DIRECTION_TOLERANCE:
        raise SeriesError(
            f"The rows and columns of {plane.label} are not at right angles"
            f" (ImageOrientationPatient {[*plane.row_direction, *plane.column_direction]})",
            "Two perpendicular unit vectors are needed",
            "Export the series again",
        )
    row = row / lengths[0]
    column = column - (column @ row) * row
    return row, column / np.linalg.norm(column)


def _refuse_mixed(planes: Sequence[Plane]) -> None:
    _refuse_odd(planes, "size in rows and columns", lambda plane: plane.size, tolerance=0)
    _refuse_odd(planes, "pixel spacing in mm", lambda plane: plane.spacing_mm, _SPACING_TOLERANCE_MM)
    _refuse_odd(
        planes, "orientation", lambda plane: (*plane.row_direction, *plane.column_direction), _DIRECTION_TOLERANCE
    )


def _refuse_odd(
    planes: Sequence[Plane], what: str, value_of: Callable[[Plane], tuple[float, ...]], tolerance: float
) -> None:
    usual = Counter(value_of(plane) for plane in planes).most_common(1)[0][0]
    odd = [plane for plane in planes if np.abs(np.subtract(value_of(plane), usual)).max() > tolerance]
    if odd:
        raise SeriesError(
            f"{len(odd)} of {len(planes)} slices differ from the others in their {what}:"
            f" {odd[0].label} has {value_of(odd[0])}, most have {usual}",
            "One value for all slices of a series is needed",
            "Remove or separate the odd slices",
        )


def _slice_spacing(along_mm: NDArray[np.float64], labels: Sequence[str]) -> float:
    """Return the distance of neighbouring slices, (n,) positions ascending."""
    steps = np.diff(along_mm)
    usual = float(np.median(steps))
    doubled = np.flatnonzero(steps < max(0.01, 0.1 * usual))
    if doubled.size:
        at = int(doubled[0])
        raise SeriesError(
            f"{_count(int(doubled.size), 'position')} occupied twice: {labels[at]} and {labels[at + 1]}"
            f" lie {steps[at]:.3f} mm apart",
            "Each position may occur once",
            "Remove the duplicates, or separate the phases or reconstructions that were mixed into one series",
        )
    far = np.flatnonzero(steps > 1.5 * usual)
    if far.size:
        at = int(far[0])
        missing = sum(round(steps[i] / usual) - 1 for i in far)
        raise SeriesError(
            f"{_count(missing, 'slice')} missing: {labels[at]} and {labels[at + 1]} lie {steps[at]:.2f} mm apart,"
            f" the other slices {usual:.2f} mm",
            "A series without gaps is needed",
            "Copy the missing slices, or resample the series",
        )
    spacing = float((along_mm[-1] - along_mm[0]) / (len(along_mm) - 1))
    error = np.abs(along_mm - (along_mm[0] + spacing * np.arange(len(along_mm))))
    if error.max() > MAX_POSITION_ERROR * spacing:
        at = int(np.abs(steps - usual).argmax())
        raise SeriesError(
            f"The slices are not evenly spaced: {labels[at]} and {labels[at + 1]} lie {steps[at]:.3f} mm apart,"
            f" most others {usual:.3f} mm",
            "One slice spacing is needed",
            "Resample the series, or separate its parts",
        )
    return spacing


def _count(count: int, noun: str) -> str:
    return f"{count} {noun} is" if count == 1 else f"{count} {noun}s are"


def _refuse_tilt(positions_mm: NDArray[np.float64], normal: NDArray[np.float64], plane: Plane) -> None:
    offset = positions_mm - positions_mm[0]
    sideways = offset - np.outer(offset @ normal, normal)
    drift = np.linalg.norm(sideways, axis=1)
    if drift.max() > MAX_DRIFT_PIXELS * min(plane.spacing_mm):
        last = offset[-1]
        angle = float(np.degrees(np.arctan2(drift[-1], abs(last @ normal))))
        raise SeriesError(
            f"The slices are tilted: they shift sideways by up to {drift.max():.1f} mm"
            f" (gantry tilt of about {angle:.1f} degrees; first seen from {plane.label})",
            "An untilted series with orthogonal axes is needed",
            "Resample the series to an untilted grid first",
        )
