"""DL_info.csv, the table of DeepLesion: one row for each RECIST measurement on a key slice.

The table's pixels are continuous and count from 1 at the centre of the first pixel. `_edges` is the one place where
they become voxel edges from 0: minus 1 for the count, plus 0.5 from centre to edge, so `edge = number - 0.5`.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lens_engine.errors import AnnotationFileError
from lens_engine.findings import Box2D, Split

FILE_NAME = "DL_info.csv"

COLUMNS = (
    "File_name", "Patient_index", "Study_index", "Series_ID", "Key_slice_index", "Measurement_coordinates",
    "Bounding_boxes", "Lesion_diameters_Pixel_", "Normalized_lesion_location", "Coarse_lesion_type", "Possibly_noisy",
    "Slice_range", "Spacing_mm_px_", "Image_size", "DICOM_windows", "Patient_gender", "Patient_age", "Train_Val_Test",
)  # fmt: skip

LESION_TYPES = ("bone", "abdomen", "mediastinum", "liver", "lung", "kidney", "soft tissue", "pelvis")
"""Names of the values 1 to 8 of `Coarse_lesion_type`; -1 is unlabelled."""

_SPLITS = {1: Split.TRAIN, 2: Split.VAL, 3: Split.TEST}
_ROUNDING_PIXELS = 1.0


@dataclass(frozen=True, slots=True)
class DeepLesionRow:
    """One measured lesion.

    Attributes
    ----------
    line
        Line of the table, from 1, the header being the first.
    series_name
        `000001_01_01`.
    key_slice
        Slice number in the series, from 1.
    box
        `(x1, y1, x2, y2)`, voxel edges from 0 (converted); 5 pixels wider than the measurement on every side.
    diameters_px
        Long, short; pixels.
    first_slice, last_slice
        Slice numbers of the context around the lesion, inclusive.
    spacing_mm
        x, y and the slice interval; the last may be NaN.
    image_size
        Columns, rows.
    """

    line: int
    series_name: str
    patient: int
    study: int
    series: int
    key_slice: int
    box: Box2D
    diameters_px: tuple[float, float]
    lesion_type: str | None
    is_noisy: bool
    first_slice: int
    last_slice: int
    spacing_mm: tuple[float, float, float]
    image_size: tuple[int, int]
    split: Split

    @property
    def diameters_mm(self) -> tuple[float, float]:
        """Long, short; in plane, where DeepLesion's pixels are square."""
        long_px, short_px = self.diameters_px
        return long_px * self.spacing_mm[0], short_px * self.spacing_mm[0]


@dataclass(frozen=True, slots=True)
class RowProblem:
    """What contradicts itself in one row.

    Attributes
    ----------
    row
        The row, where box, key slice and spacing are sound in spite of it; None where it cannot be used.
    """

    line: int
    what: str
    row: DeepLesionRow | None


@dataclass(frozen=True, slots=True)
class DeepLesionTable:
    """All rows that can be used, in the order of the table, and what is wrong with some."""

    rows: tuple[DeepLesionRow, ...]
    problems: tuple[RowProblem, ...]


def read_table(path: Path) -> DeepLesionTable:
    """Return the rows of the table; a bad row does not stop the others.

    Raises
    ------
    AnnotationFileError
        If the file cannot be read or has other columns.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise AnnotationFileError(
            f"{path} cannot be read: {error.strerror}", "The table that comes with DeepLesion is needed", "Copy it"
        ) from error
    return _read_table(path, status.st_mtime_ns, status.st_size)


def read_rows(path: Path) -> tuple[DeepLesionRow, ...]:
    """Return every row of the table, checked.

    Raises
    ------
    AnnotationFileError
        If columns are missing or a row contradicts itself; it names the line.
    """
    table = read_table(path)
    for problem in table.problems:
        raise AnnotationFileError(
            f"Line {problem.line} of {path.name} is not a DeepLesion row: {problem.what}",
            "18 columns as described in the DeepLesion FAQ are needed",
            "Correct the line",
        )
    return table.rows


@lru_cache(maxsize=2)
def _read_table(path: Path, _modified_ns: int, _size: int) -> DeepLesionTable:
    """Read the table once for all the series that ask for their spacing, and again when it has changed."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = tuple(name.strip() for name in next(reader, ()))
            if header != COLUMNS:
                missing = [name for name in COLUMNS if name not in header]
                raise AnnotationFileError(
                    f"{path.name} has the columns {', '.join(header)}"
                    + (f"; missing are {', '.join(missing)}" if missing else ""),
                    f"The 18 columns of DeepLesion are needed: {', '.join(COLUMNS)}",
                    "Use DL_info.csv as released",
                )
            return _table([(reader.line_num, cells) for cells in reader if cells])
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise AnnotationFileError(
            f"{path.name} is not a text table", "A CSV file is needed", "Copy it again"
        ) from error


def _table(lines: Sequence[tuple[int, Sequence[str]]]) -> DeepLesionTable:
    rows: list[DeepLesionRow] = []
    problems: list[RowProblem] = []
    for line, cells in lines:
        try:
            values = dict(zip(COLUMNS, cells, strict=True))
            row = _parse(line, values)
            contradiction = _contradiction(row, _numbers(values["Measurement_coordinates"], 8))
        except ValueError as error:
            problems.append(RowProblem(line, str(error), None))
            continue
        rows.append(row)
        if contradiction is not None:
            problems.append(RowProblem(line, contradiction, row))
    return DeepLesionTable(tuple(rows), tuple(problems))


def _parse(line: int, values: dict[str, str]) -> DeepLesionRow:
    series_name, _, slice_name = values["File_name"].strip().rpartition("_")
    key_slice = int(values["Key_slice_index"])
    if slice_name.removesuffix(".png") != f"{key_slice:03d}":
        raise ValueError(f"File_name {values['File_name']} and Key_slice_index {key_slice} differ")
    first_slice, last_slice = (int(value) for value in _numbers(values["Slice_range"], 2))
    kind = int(values["Coarse_lesion_type"])
    if kind != -1 and not 1 <= kind <= len(LESION_TYPES):
        raise ValueError(f"Coarse_lesion_type is {kind}")
    split = int(values["Train_Val_Test"])
    if split not in _SPLITS:
        raise ValueError(f"Train_Val_Test is {split}")
    long_px, short_px = _numbers(values["Lesion_diameters_Pixel_"], 2)
    x_mm, y_mm, interval_mm = _numbers(values["Spacing_mm_px_"], 3)
    columns, rows = (int(value) for value in _numbers(values["Image_size"], 2))
    row = DeepLesionRow(
        line=line,
        series_name=series_name,
        patient=int(values["Patient_index"]),
        study=int(values["Study_index"]),
        series=int(values["Series_ID"]),
        key_slice=key_slice,
        box=_edges(_numbers(values["Bounding_boxes"], 4)),
        diameters_px=(long_px, short_px),
        lesion_type=None if kind == -1 else LESION_TYPES[kind - 1],
        is_noisy=int(values["Possibly_noisy"]) > 0,
        first_slice=first_slice,
        last_slice=last_slice,
        spacing_mm=(x_mm, y_mm, interval_mm),
        image_size=(columns, rows),
        split=_SPLITS[split],
    )
    if row.series_name != f"{row.patient:06d}_{row.study:02d}_{row.series:02d}":
        raise ValueError(f"File_name {row.series_name} and the patient, study and series indices differ")
    x1, y1, x2, y2 = row.box
    if not (x1 < x2 and y1 < y2):
        raise ValueError("Bounding_boxes is empty")
    return row


def _contradiction(row: DeepLesionRow, marks: Sequence[float]) -> str | None:
    """Return what is odd about a row whose key slice and box can be used all the same."""
    if not row.first_slice <= row.key_slice <= row.last_slice:
        return f"Key_slice_index {row.key_slice} is outside Slice_range {row.first_slice}, {row.last_slice}"
    x1, y1, x2, y2 = row.box
    across, down = [mark - 0.5 for mark in marks[0::2]], [mark - 0.5 for mark in marks[1::2]]
    inside = (
        x1 - _ROUNDING_PIXELS <= min(across)
        and max(across) <= x2 + _ROUNDING_PIXELS
        and y1 - _ROUNDING_PIXELS <= min(down)
        and max(down) <= y2 + _ROUNDING_PIXELS
    )
    return None if inside else "Measurement_coordinates lie outside Bounding_boxes"


def _edges(numbers: Sequence[float]) -> Box2D:
    """Return a box of the table as voxel edges; see the top of this module."""
    x1, y1, x2, y2 = (number - 0.5 for number in numbers)
    return x1, y1, x2, y2


def _numbers(cell: str, count: int) -> list[float]:
    numbers = [float(value) for value in cell.split(",")]
    if len(numbers) != count:
        raise ValueError(f"{len(numbers)} numbers instead of {count} in {cell!r}")
    if any(math.isinf(number) for number in numbers):
        raise ValueError(f"an infinite number in {cell!r}")
    return numbers
