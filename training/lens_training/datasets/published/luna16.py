"""LUNA16: MetaImage scans in ten subsets, nodules as centre and diameter in millimetres (algorithms 1.6).

World coordinates are LPS and go through the whole direction matrix of the scan: some headers are flipped.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lens_engine.errors import LensError
from lens_engine.evaluation.luna16 import UNKNOWN_DIAMETER_MM
from lens_engine.findings import Split
from lens_engine.io.images.image_files import read_image_geometry
from lens_engine.io.series import SeriesFormat, SeriesSource
from lens_engine.io.tables import ColumnReader, read_text_table
from lens_engine.progress import ProgressCallback
from lens_engine.snapshot import Lesion
from lens_training.datasets.case import Case, LesionFacts
from lens_training.datasets.published.listing import SeriesFiles
from lens_training.datasets.published.reading import (
    DEFAULT_OPTIONS,
    DatasetName,
    Ledger,
    Oddity,
    Reading,
    ReadingOptions,
    line_of,
    refuse_empty,
)
from lens_training.datasets.published.spheres import sphere_lesion
from lens_training.errors import DatasetError

LAYOUT = "folders subset0 to subset9 with <seriesuid>.mhd and .raw files, and annotations.csv beside them"

PUBLISHED = {"subsets": 10, "scans": 888, "nodules in the table": 1186, "usable nodules": 1186, "slices": 226_000}
"""LENS Table I; the slices are rounded there."""

NODULES_FILE = "annotations.csv"
EXCLUDED_FILE = "annotations_excluded.csv"
COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")
LESION_TYPE = "lung"

_SUBSET = re.compile(r"subset(\d)")
_TABLE_FOLDERS = (".", "CSVFILES", "evaluationScript/annotations")


@dataclass(frozen=True, slots=True)
class Mark:
    """One row of a table of LUNA16.

    Attributes
    ----------
    centre_mm
        LPS (x, y, z).
    line
        Number of the mark's line in the table, from 1, the header being the first.
    """

    series_uid: str
    centre_mm: tuple[float, float, float]
    diameter_mm: float
    line: int


def read(
    folder: Path, options: ReadingOptions = DEFAULT_OPTIONS, on_progress: ProgressCallback | None = None
) -> Reading:
    """Return the scans with their nodules as cubes, and a square on each slice near the centre.

    Raises
    ------
    DatasetError
        If the folder has no scans or no table, or no subsets although a fold was asked for.
    AnnotationFileError
        If the table has other columns or is no table.
    """
    table = _table(folder, NODULES_FILE)
    if table is None:
        raise refuse_empty(folder, "LUNA16", LAYOUT)
    ledger = Ledger(folder)
    marks = _marks(table, ledger)
    scans = _scans(folder, ledger)
    if not scans:
        raise refuse_empty(folder, "LUNA16", LAYOUT)
    by_scan: dict[str, list[Mark]] = {}
    for mark in marks:
        by_scan.setdefault(mark.series_uid, []).append(mark)
    reader = _Reader(table.name, options, ledger)
    cases: list[Case] = []
    for done, (uid, path) in enumerate(scans.items(), start=1):
        cases += reader.case(path, by_scan.pop(uid, []))
        if on_progress is not None:
            on_progress(done, len(scans))
    for left in by_scan.values():
        for mark in left:
            ledger.skip(line_of(table.name, mark.line), Oddity.MISSING_SCAN, f"{mark.series_uid}.mhd is not there")
    counts = {
        "subsets": len({match[1] for path in scans.values() if (match := _subset_of(path)) is not None}),
        "scans": len(cases),
        "nodules in the table": len(marks),
        "usable nodules": sum(len(case.lesions) for case in cases),
        "scans without a nodule": len([case for case in cases if not case.lesions]),
        "slices": sum(case.geometry.shape[0] for case in cases),
    }
    return Reading(DatasetName.LUNA16, tuple(cases), counts, ledger.odd, ledger.skipped)


def nodules(folder: Path) -> tuple[Mark, ...]:
    """Return the nodules of `annotations.csv`, the truth of the LUNA16 protocol; rows that are no nodule are left out.

    Raises
    ------
    DatasetError, AnnotationFileError
        As `read`.
    """
    table = _table(folder, NODULES_FILE)
    if table is None:
        raise refuse_empty(folder, "LUNA16", LAYOUT)
    return _marks(table, Ledger(folder))


def excluded(folder: Path) -> tuple[Mark, ...]:
    """Return the findings of `annotations_excluded.csv` that count neither way; none where the file is absent.

    Raises
    ------
    AnnotationFileError
        If the table has other columns or is no table.
    """
    table = _table(folder, EXCLUDED_FILE)
    return () if table is None else _marks(table, Ledger(folder), UNKNOWN_DIAMETER_MM)


def _table(folder: Path, name: str) -> Path | None:
    return next((folder / place / name for place in _TABLE_FOLDERS if (folder / place / name).is_file()), None)


def _marks(path: Path, ledger: Ledger, unknown_diameter_mm: float | None = None) -> tuple[Mark, ...]:
    """Return the rows of a table; a diameter that is not positive is replaced, or makes the row odd."""
    table = read_text_table(path, COLUMNS)
    reader = ColumnReader(table)
    uids = reader.texts("seriesuid")
    values = np.column_stack([reader.numbers(name) for name in COLUMNS[1:]])
    if unknown_diameter_mm is not None:
        values[values[:, 3] <= 0, 3] = unknown_diameter_mm
    is_nodule = np.isfinite(values).all(axis=1) & (values[:, 3] > 0)
    reader.refuse(
        ~is_nodule, lambda row: f"centre {tuple(values[row, :3].tolist())} mm, diameter {float(values[row, 3])} mm"
    )
    for line, what in reader.problems.items():
        ledger.skip(line_of(path.name, line), Oddity.BROKEN_ROW, what)
    marks = zip(uids, values.tolist(), table.lines, reader.is_sound, strict=True)
    return tuple(Mark(uid, (x, y, z), diameter, line) for uid, (x, y, z, diameter), line, is_sound in marks if is_sound)


def _scans(folder: Path, ledger: Ledger) -> dict[str, Path]:
    """Return the header file of every scan by its series UID; lung masks, which have the same names, are left alone."""
    subsets = [path for pattern in ("subset?", "*/subset?") for path in sorted(folder.glob(pattern)) if path.is_dir()]
    found: dict[str, Path] = {}
    for place in subsets or [folder]:
        for path in sorted(place.rglob("*.mhd") if subsets else place.glob("*.mhd")):
            uid = path.stem
            if found.get(uid, path) != path:
                ledger.skip(path, Oddity.DUPLICATE, f"{found[uid].parent.name} has it, too")
            else:
                found[uid] = path
    return found


class _Reader:
    """Turns scans and their marks into cases."""

    def __init__(self, table: str, options: ReadingOptions, ledger: Ledger) -> None:
        self._table = table
        self._options = options
        self._ledger = ledger

    def case(self, path: Path, marks: Sequence[Mark]) -> Iterator[Case]:
        """Yield the case of a scan, or nothing if it cannot be read."""
        uid = path.stem
        try:
            geometry = read_image_geometry(path)
        except LensError as error:
            self._ledger.skip(path, Oddity.BROKEN_FILE, error.happened)
            self._ledger.leave_out("lesion of a scan that cannot be read", len(marks))
            return
        kept: list[tuple[Mark, Lesion]] = []
        for mark in marks:
            lesion = sphere_lesion(uid, np.asarray(mark.centre_mm), mark.diameter_mm, geometry)
            if lesion is None:
                what = f"centre {mark.centre_mm} mm lies outside {path.name}"
                self._ledger.skip(line_of(self._table, mark.line), Oddity.OUTSIDE, what)
            else:
                kept.append((mark, lesion))
        files = SeriesFiles(uid, SeriesSource(SeriesFormat.METAIMAGE, (path.absolute(),)), geometry)
        yield Case(
            name=uid,
            patient=uid,
            dataset=DatasetName.LUNA16.value,
            split=_split(path, self._options),
            geometry=geometry,
            lesions=tuple(lesion for _, lesion in kept),
            load=files.load,
            facts=tuple(LesionFacts(LESION_TYPE, mark.diameter_mm) for mark, _ in kept),
            tight_margin_voxels=self._options.tight_margin_voxels,
            files=files,
        )


def _subset_of(path: Path) -> re.Match[str] | None:
    return next((match for part in reversed(path.parts) if (match := _SUBSET.fullmatch(part))), None)


def _split(path: Path, options: ReadingOptions) -> Split:
    if options.test_fold is None:
        return options.split_of(path.stem)
    subset = _subset_of(path)
    if subset is None:
        raise DatasetError(
            f"{path.name} lies in no folder subset0 to subset9",
            f"Fold {options.test_fold} of the ten-fold protocol needs the subsets",
            "Keep the scans in the folders they came in, or choose no fold",
        )
    return Split.TEST if int(subset[1]) == options.test_fold else Split.TRAIN
