"""DL_info.csv, the table of DeepLesion: one row for each RECIST measurement on a key slice.

The table's pixels are continuous and count from 1 at the centre of the first pixel. `_edges` is the one place where
they become voxel edges from 0: minus 1 for the count, plus 0.5 from centre to edge, so `edge = number - 0.5`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import AnnotationFileError
from lens_engine.findings import Box2D, Split
from lens_engine.io.tables import ColumnReader, read_text_table

FILE_NAME = "DL_info.csv"

COLUMNS = (
    "File_name", "Patient_index", "Study_index", "Series_ID", "Key_slice_index", "Measurement_coordinates",
    "Bounding_boxes", "Lesion_diameters_Pixel_", "Normalized_lesion_location", "Coarse_lesion_type", "Possibly_noisy",
    "Slice_range", "Spacing_mm_px_", "Image_size", "DICOM_windows", "Patient_gender", "Patient_age", "Train_Val_Test",
)  # fmt: skip

LESION_TYPES = ("bone", "abdomen", "mediastinum", "liver", "lung", "kidney", "soft tissue", "pelvis")
"""Names of the values 1 to 8 of `Coarse_lesion_type`; -1 is unlabelled."""

_TYPES: dict[int, str | None] = {-1: None, **dict(enumerate(LESION_TYPES, start=1))}
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
        The name of the folder with its slices, such as `000001_01_01`.
    key_slice
        Slice number in the series, from 1.
    box
        `(x1, y1, x2, y2)`, voxel edges from 0 (converted); 5 pixels wider than the measurement on every side.
    diameters_px
        The long and the short diameter in pixels.
    location
        Place in the body along x, y and z, each in about [0, 1]; may be NaN.
    first_slice, last_slice
        Slice numbers of the context around the lesion, inclusive.
    spacing_mm
        Distance of pixels along x, along y, and of slices; the last may be NaN.
    image_size
        Number of columns, then of rows.
    """

    line: int
    series_name: str
    patient: int
    study: int
    series: int
    key_slice: int
    box: Box2D
    diameters_px: tuple[float, float]
    location: tuple[float, float, float]
    lesion_type: str | None
    is_noisy: bool
    first_slice: int
    last_slice: int
    spacing_mm: tuple[float, float, float]
    image_size: tuple[int, int]
    split: Split

    @property
    def diameters_mm(self) -> tuple[float, float]:
        """The long and the short diameter; both lie in plane, where DeepLesion's pixels are square."""
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
    table = read_text_table(path, COLUMNS)
    reader = ColumnReader(table)
    columns = _Columns.read(reader)
    columns.refuse_contradictions(reader)
    rows = columns.rows(table.lines, reader.is_sound)
    odd = {line: what for line, what in zip(table.lines, columns.oddities(), strict=True) if what and line in rows}
    problems = [RowProblem(line, what, None) for line, what in reader.problems.items()]
    problems += [RowProblem(line, what, rows[line]) for line, what in odd.items()]
    return DeepLesionTable(tuple(rows.values()), tuple(sorted(problems, key=lambda problem: problem.line)))


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """The columns of the table as arrays; boxes and marks as voxel edges."""

    series_names: list[str]
    slice_names: list[str]
    patients: NDArray[np.int64]
    studies: NDArray[np.int64]
    series: NDArray[np.int64]
    key_slices: NDArray[np.int64]
    boxes: NDArray[np.float64]
    marks: NDArray[np.float64]
    diameters_px: NDArray[np.float64]
    locations: NDArray[np.float64]
    kinds: NDArray[np.int64]
    noise: NDArray[np.int64]
    contexts: NDArray[np.int64]
    spacings_mm: NDArray[np.float64]
    image_sizes: NDArray[np.int64]
    splits: NDArray[np.int64]

    @classmethod
    def read(cls, reader: ColumnReader) -> "_Columns":
        names = [name.rpartition("_") for name in reader.texts("File_name")]
        return cls(
            series_names=[series for series, _, _ in names],
            slice_names=[slice_name.removesuffix(".png") for _, _, slice_name in names],
            patients=reader.whole_numbers("Patient_index"),
            studies=reader.whole_numbers("Study_index"),
            series=reader.whole_numbers("Series_ID"),
            key_slices=reader.whole_numbers("Key_slice_index"),
            boxes=_edges(reader.number_lists("Bounding_boxes", 4)),
            marks=_edges(reader.number_lists("Measurement_coordinates", 8)),
            diameters_px=reader.number_lists("Lesion_diameters_Pixel_", 2),
            locations=reader.number_lists("Normalized_lesion_location", 3),
            kinds=reader.whole_numbers("Coarse_lesion_type"),
            noise=reader.whole_numbers("Possibly_noisy"),
            contexts=reader.whole_number_lists("Slice_range", 2),
            spacings_mm=reader.number_lists("Spacing_mm_px_", 3),
            image_sizes=reader.whole_number_lists("Image_size", 2),
            splits=reader.whole_numbers("Train_Val_Test"),
        )

    def refuse_contradictions(self, reader: ColumnReader) -> None:
        """Note the rows that cannot be used because two of their cells say different things, or one says nothing."""
        keys = self.key_slices.tolist()
        reader.refuse(
            _differ(self.slice_names, [f"{key:03d}" for key in keys]),
            lambda row: f"File_name {reader.shown('File_name', row)} and Key_slice_index {keys[row]} differ",
        )
        numbers = zip(self.patients.tolist(), self.studies.tolist(), self.series.tolist(), strict=True)
        indexed = [f"{patient:06d}_{study:02d}_{series:02d}" for patient, study, series in numbers]
        reader.refuse(
            _differ(self.series_names, indexed),
            lambda row: (
                f"File_name {reader.shown('File_name', row)} and the patient, study and series indices differ:"
                f" they say {indexed[row]}"
            ),
        )
        reader.refuse(~np.isin(self.kinds, list(_TYPES)), lambda row: f"Coarse_lesion_type is {self.kinds[row]}")
        reader.refuse(~np.isin(self.splits, list(_SPLITS)), lambda row: f"Train_Val_Test is {self.splits[row]}")
        reader.refuse(
            np.count_nonzero(np.isnan(self.boxes), axis=1) > 0,
            lambda row: f"Bounding_boxes has an edge that is no number: {self.boxes[row].tolist()}",
        )
        x1, y1, x2, y2 = self.boxes.T
        is_box = (x1 < x2) & (y1 < y2)
        reader.refuse(~is_box, lambda row: f"Bounding_boxes is empty: {self.boxes[row].tolist()}")

    def oddities(self) -> list[str | None]:
        """Return, for each row, what is odd about it although its key slice and box can be used."""
        is_outside = (self.key_slices < self.contexts[:, 0]) | (self.key_slices > self.contexts[:, 1])
        points = self.marks.reshape(-1, 4, 2)
        lowest, highest = points.min(axis=1) + _ROUNDING_PIXELS, points.max(axis=1) - _ROUNDING_PIXELS
        is_marked = ((self.boxes[:, :2] <= lowest) & (highest <= self.boxes[:, 2:])).all(axis=1)
        found: list[str | None] = [None] * len(self.key_slices)
        for row in np.flatnonzero(~is_marked).tolist():
            found[row] = "Measurement_coordinates lie outside Bounding_boxes"
        for row in np.flatnonzero(is_outside).tolist():
            first, last = self.contexts[row].tolist()
            found[row] = f"Key_slice_index {self.key_slices[row]} is outside Slice_range {first}, {last}"
        return found

    def rows(self, lines: Sequence[int], is_sound: NDArray[np.bool_]) -> dict[int, DeepLesionRow]:
        """Return the sound rows by their line."""
        kept = np.flatnonzero(is_sound)
        indices = kept.tolist()
        in_order_of_fields = zip(
            [lines[row] for row in indices],
            [self.series_names[row] for row in indices],
            self.patients[kept].tolist(),
            self.studies[kept].tolist(),
            self.series[kept].tolist(),
            self.key_slices[kept].tolist(),
            zip(*self.boxes[kept].T.tolist(), strict=True),
            zip(*self.diameters_px[kept].T.tolist(), strict=True),
            zip(*self.locations[kept].T.tolist(), strict=True),
            map(_TYPES.__getitem__, self.kinds[kept].tolist()),
            (self.noise[kept] > 0).tolist(),
            *self.contexts[kept].T.tolist(),
            zip(*self.spacings_mm[kept].T.tolist(), strict=True),
            zip(*self.image_sizes[kept].T.tolist(), strict=True),
            map(_SPLITS.__getitem__, self.splits[kept].tolist()),
            strict=True,
        )
        return {values[0]: DeepLesionRow(*values) for values in in_order_of_fields}


def _edges(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return pixels of the table as voxel edges; see the top of this module."""
    return numbers - 0.5


def _differ(texts: Sequence[str], others: Sequence[str]) -> NDArray[np.bool_]:
    return np.asarray([text != other for text, other in zip(texts, others, strict=True)], dtype=np.bool_)
