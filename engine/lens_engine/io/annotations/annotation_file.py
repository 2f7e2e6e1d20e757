"""Read annotations from any supported file: the one function that `lens import` calls."""

from collections.abc import Sequence
from os.path import commonpath
from pathlib import Path

import numpy as np

from lens_engine.errors import AnnotationFileError
from lens_engine.findings import Box3D, SliceBox, box_from_slices
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.annotations.deeplesion_csv import DeepLesionRow, read_rows
from lens_engine.io.annotations.imported import (
    AnnotationFormat,
    ImportedAnnotations,
    ImportedLesion,
    ImportedSubVolume,
    KnownSeries,
)
from lens_engine.io.annotations.instance_mask import LesionSlices, read_instance_mask
from lens_engine.io.annotations.manual_test_set import import_manual_test_set
from lens_engine.io.annotations.rtstruct import lesion_regions, rasterise, read_structure_set
from lens_engine.io.images.image_files import is_image_file
from lens_engine.io.series_source import file_stem, leading_series_name, parse_series_name

GRID_TOLERANCE_VOXELS = 0.1
"""Two grids are the same if no corner is farther apart than this."""


def read_annotations(path: Path, known: Sequence[KnownSeries], series_name: str | None = None) -> ImportedAnnotations:
    """Read an annotation file of any supported format; the format is told from the file.

    Parameters
    ----------
    known
        Series of the project. Masks and contours need the series they were drawn on; DL_info.csv gives lesions of known
        series only; a manual test set is read completely.
    series_name
        The series that a mask or contours belong to, where the file does not say.

    Raises
    ------
    AnnotationFileError
        If the file is of no supported format, broken, or fits no known series, or several.
    SeriesError, GeometryError
        If a mask cannot be read as one 3D image.
    """
    if not path.is_file():
        raise AnnotationFileError(f"{path} is not a file", "An annotation file is needed", "Check the path")
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _from_csv(path, known)
    if suffix in {".pkl", ".pickle", ".json"}:
        return import_manual_test_set(path)
    if is_image_file(path):
        return _from_mask(path, known, series_name)
    if _is_dicom(path):
        return _from_contours(path, known, series_name)
    raise AnnotationFileError(
        f"{path.name} is of no known annotation format",
        "DL_info.csv, a manual test set (.pkl, .json), a lesion mask (NIfTI, MetaImage, NRRD) or RTSTRUCT is needed",
        "Convert the file",
    )


def is_same_grid(first: VolumeGeometry, second: VolumeGeometry) -> bool:
    """Return whether two canonical grids have the same voxels at the same places."""
    if first.shape != second.shape:
        return False
    corners = np.asarray(np.meshgrid(*[(0, count - 1) for count in first.shape])).reshape(3, -1).T
    apart = second.mm_to_index(first.index_to_mm(corners)) - corners
    return bool(np.abs(apart).max() <= GRID_TOLERANCE_VOXELS)


def _from_csv(path: Path, known: Sequence[KnownSeries]) -> ImportedAnnotations:
    by_name: dict[str, list[KnownSeries]] = {}
    for series in known:
        given = parse_series_name(series.name)
        if given is not None:
            by_name.setdefault(given.series_name, []).append(series)
    lesions: list[ImportedLesion] = []
    sub_volumes: dict[str, ImportedSubVolume] = {}
    left_out = 0
    for row in read_rows(path):
        holders = [item for item in by_name.get(row.series_name, ()) if _holds_slice(item, row.key_slice)]
        if not holders:
            left_out += 1
            continue
        series = holders[0]
        lesions.append(_lesion_on_key_slice(row, series))
        sub_volumes.setdefault(series.name, ImportedSubVolume(series.name, split=row.split))
    notes = (f"{left_out} rows of slices that are not in the project were left out",) if left_out else ()
    return ImportedAnnotations(
        AnnotationFormat.DEEPLESION_CSV, path.name, tuple(lesions), tuple(sub_volumes.values()), notes
    )


def _first_slice_number(series: KnownSeries) -> int:
    if series.geometry is not None:
        return series.geometry.first_slice_number
    given = parse_series_name(series.name)
    return given.first_slice if given is not None and given.first_slice is not None else 1


def _holds_slice(series: KnownSeries, slice_number: int) -> bool:
    if series.geometry is not None:
        return 0 <= series.geometry.slice_index(slice_number) < series.geometry.shape[0]
    given = parse_series_name(series.name)
    if given is None or given.first_slice is None or given.last_slice is None:
        return True
    return given.first_slice <= slice_number <= given.last_slice


def _lesion_on_key_slice(row: DeepLesionRow, series: KnownSeries) -> ImportedLesion:
    first = _first_slice_number(series)
    index = row.key_slice - first
    x1, y1, x2, y2 = row.box
    box: Box3D = (x1, y1, float(index), x2, y2, float(index + 1))
    return ImportedLesion(series.name, first, box, (SliceBox(index, row.box),), index, row.lesion_type, row.is_noisy)


def _from_mask(path: Path, known: Sequence[KnownSeries], series_name: str | None) -> ImportedAnnotations:
    lesions, geometry = read_instance_mask(path)
    series = _series_of_mask(path, geometry, known, series_name)
    return _three_dimensional(AnnotationFormat.INSTANCE_MASK, path, lesions, series, ())


def _series_of_mask(
    path: Path, geometry: VolumeGeometry, known: Sequence[KnownSeries], series_name: str | None
) -> KnownSeries:
    """Return the series on the grid of a mask: the given one, that of the same name, or the nearest on disk."""
    fitting = [item for item in known if item.geometry is not None and is_same_grid(geometry, item.geometry)]
    if series_name is not None:
        fitting = [item for item in fitting if item.name == series_name]
    given = leading_series_name(file_stem(path))
    of_same_name = [item for item in fitting if given is not None and item.name.startswith(given.name)]
    if len(of_same_name) == 1:
        return of_same_name[0]
    if not fitting:
        size, spacing = " x ".join(map(str, geometry.shape)), ", ".join(f"{value:.3f}" for value in geometry.spacing_mm)
        raise AnnotationFileError(
            f"{path.name} has a grid of {size} voxels (z, y, x) at {spacing} mm that"
            f" {'no series of the project has' if series_name is None else f'series {series_name} does not have'}",
            "A mask on the grid of its scan is needed",
            "Add the scan first, or resample the mask to it",
        )
    nearest = _nearest(path, fitting)
    if len(nearest) > 1:
        raise AnnotationFileError(
            f"{path.name} fits {len(nearest)} series: {', '.join(item.name for item in nearest)}",
            "The series it was drawn on must be clear",
            "Name it with --series",
        )
    return nearest[0]


def _nearest(path: Path, fitting: Sequence[KnownSeries]) -> list[KnownSeries]:
    """Return the series whose folder shares most of its path with the mask."""
    if len(fitting) == 1:
        return list(fitting)
    own = path.absolute().parent

    def shared(series: KnownSeries) -> int:
        if series.folder is None or series.folder.anchor != own.anchor:
            return 0
        return len(Path(commonpath([own, series.folder])).parts)

    most = max(shared(item) for item in fitting)
    return [item for item in fitting if shared(item) == most]


def _from_contours(path: Path, known: Sequence[KnownSeries], series_name: str | None) -> ImportedAnnotations:
    structures = read_structure_set(path)
    series = _series_of_contours(path, structures.series_uids, known, series_name)
    if series.geometry is None:
        raise AnnotationFileError(
            f"The geometry of series {series.name} is not known", "Contours need the scan", "Add the scan first"
        )
    regions = lesion_regions(structures.regions)
    lesions = [rasterise(region, series.geometry) for region in regions]
    notes = []
    if len(regions) < len(structures.regions):
        notes.append(f"{len(structures.regions) - len(regions)} regions that are no lesions were left out")
    empty = sum(not lesion for lesion in lesions)
    if empty:
        notes.append(f"{empty} regions contain no voxel centre and were left out")
    return _three_dimensional(AnnotationFormat.RTSTRUCT, path, lesions, series, tuple(notes))


def _series_of_contours(
    path: Path, series_uids: Sequence[str], known: Sequence[KnownSeries], series_name: str | None
) -> KnownSeries:
    if series_name is not None:
        series = next((item for item in known if item.name == series_name), None)
    else:
        series = next((item for item in known if item.series_uid in series_uids), None)
    if series is None:
        wanted = series_name or ", ".join(series_uids) or "that it does not name"
        raise AnnotationFileError(
            f"{path.name} belongs to series {wanted}, which is not in the project",
            "The CT on which the contours were drawn is needed",
            "Add it first, or name the series with --series",
        )
    return series


def _three_dimensional(
    kind: AnnotationFormat, path: Path, lesions: Sequence[LesionSlices], series: KnownSeries, notes: tuple[str, ...]
) -> ImportedAnnotations:
    first = _first_slice_number(series)
    imported = tuple(
        ImportedLesion(series.name, first, box_from_slices(slices), slices) for slices in lesions if slices
    )
    return ImportedAnnotations(kind, path.name, imported, (ImportedSubVolume(series.name),), notes)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
