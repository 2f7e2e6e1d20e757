"""DeepLesion: DL_info.csv and its PNG slices, one case for each run of consecutive slices (algorithms 1.2 to 1.4).

A lesion is a box on its key slice; nobody drew it on the others. Sub-volumes come from the files on disk, never from
the `Slice_range` of the table. Rows flagged as possibly noisy are left out, as the authors do.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from lens_engine.boxes import clip
from lens_engine.errors import GeometryError, SeriesError
from lens_engine.findings import Box2D, Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.annotations.deeplesion_csv import FILE_NAME, LESION_TYPES, DeepLesionRow, read_table
from lens_engine.io.deeplesion_png import png_size, slice_geometry
from lens_engine.progress import ProgressCallback
from lens_engine.snapshot import Lesion, LesionOrigin, LesionRole
from lens_training.datasets.case import Case, LesionFacts
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
from lens_training.datasets.published.sub_volumes import (
    SubVolume,
    SubVolumeFiles,
    images_folder,
    runs_of,
    series_folders,
    slice_numbers,
)

LAYOUT = "DL_info.csv and, beside it, Images_png with a folder such as 000001_01_01/109.png for each series"

PUBLISHED = {
    "patients": 4427,
    "studies": 10594,
    "lesions in the table": 32735,
    "key slices in the table": 32120,
    "noisy lesions": 35,
    "train lesions in the table": 22919,
    "val lesions in the table": 4889,
    "test lesions in the table": 4927,
    "noisy train lesions": 18,
    "noisy val lesions": 2,
    "noisy test lesions": 15,
    **dict(
        zip((f"{kind} lesions" for kind in LESION_TYPES), (232, 2166, 1638, 1318, 2426, 490, 677, 869), strict=True)
    ),
    "usable lesions": 32700,
    "usable train lesions": 22901,
    "usable val lesions": 4887,
    "usable test lesions": 4912,
    "usable key slices": 32086,
    "usable train key slices": 22478,
    "usable val key slices": 4791,
    "usable test key slices": 4817,
    "slices": 928_000,
}
"""DeepLesion paper and the logs of the authors' code (algorithms 1.2, 1.3); the slices are rounded there."""

NOISY = "possibly noisy lesion"
LOST = "lesion of a sub-volume that cannot be read"
UNKNOWN_INTERVAL_MM = 1.0
"""Stands for the unknown slice interval of a case of one slice, where it has no effect."""

_MARGIN_VOXELS = 5.5
"""A box may reach this far beyond the image without being odd: five pixels of margin around marks inside it."""


def read(
    folder: Path, options: ReadingOptions = DEFAULT_OPTIONS, on_progress: ProgressCallback | None = None
) -> Reading:
    """Return the sub-volumes of DeepLesion with the lesions on their key slices.

    Raises
    ------
    DatasetError
        If the folder has no table or no images.
    AnnotationFileError
        If the table has other columns or is no table.
    """
    images = images_folder(folder) if folder.is_dir() else None
    table_path = folder / FILE_NAME
    if images is None or not table_path.is_file():
        raise refuse_empty(folder, "DeepLesion", LAYOUT)
    table = read_table(table_path)
    ledger = Ledger(folder)
    for problem in table.problems:
        note = ledger.skip if problem.row is None else ledger.keep
        note(line_of(FILE_NAME, problem.line), Oddity.BROKEN_ROW, problem.what)
    reader = _Reader(table.rows, ledger)
    folders = sorted(series_folders(images))
    for done, series in enumerate(folders, start=1):
        reader.read_series(series)
        if on_progress is not None:
            on_progress(done, len(folders))
    reader.note_missing_images()
    cases = tuple(reader.cases)
    return Reading(DatasetName.DEEPLESION, cases, _counts(table.rows, cases), ledger.odd, ledger.skipped)


def spacing_of(rows: Sequence[DeepLesionRow], unknown_interval_mm: float) -> tuple[tuple[float, float, float], bool]:
    """Return the spacing (x, y, z) that the rows of one series give, and whether its slice interval is known."""
    x_mm, y_mm, interval_mm = rows[0].spacing_mm
    is_known = bool(np.isfinite(interval_mm) and interval_mm > 0)
    return (x_mm, y_mm, interval_mm if is_known else unknown_interval_mm), is_known


def geometry_of(part: SubVolume, spacing_mm: tuple[float, float, float], ledger: Ledger) -> VolumeGeometry | None:
    """Return the geometry of a sub-volume, opening its first slice only; None, noted, if it cannot be used."""
    first = part.path(part.first)
    try:
        return slice_geometry(png_size(first), part.count, spacing_mm, part.first)
    except GeometryError as error:
        ledger.skip(part.name, Oddity.UNKNOWN_SPACING, error.happened)
    except SeriesError as error:
        ledger.skip(first, Oddity.BROKEN_FILE, error.happened)
    return None


class _Reader:
    """Turns the folders of series into cases, one after another."""

    def __init__(self, rows: Sequence[DeepLesionRow], ledger: Ledger) -> None:
        self.cases: list[Case] = []
        self._ledger = ledger
        self._seen: set[str] = set()
        self._rows: dict[str, list[DeepLesionRow]] = {}
        splits: dict[int, Split] = {}
        for row in rows:
            if splits.setdefault(row.patient, row.split) is row.split:
                self._rows.setdefault(row.series_name, []).append(row)
            else:
                what = f"patient {row.patient} is in {splits[row.patient]} before and in {row.split} here"
                ledger.skip(line_of(FILE_NAME, row.line), Oddity.OTHER_SPLIT, what)
        ledger.leave_out(NOISY, sum(row.is_noisy for row in rows))

    def read_series(self, folder: Path) -> None:
        """Add the cases of one folder."""
        rows = self._rows.get(folder.name)
        if rows is None:
            self._ledger.skip(folder, Oddity.UNLISTED, f"{FILE_NAME} has no usable row for it")
            return
        self._seen.add(folder.name)
        numbers, others = slice_numbers(folder)
        for name in others:
            self._ledger.skip(folder / name, Oddity.UNLISTED, "its name is not that of a slice")
        usable = [row for row in rows if not row.is_noisy]
        for row in usable:
            if row.key_slice not in numbers:
                self._miss(row)
        self._note_other_spacings(rows)
        for run in runs_of(folder, numbers):
            self._read_run(run, rows, [row for row in usable if run.holds(row.key_slice)])

    def note_missing_images(self) -> None:
        """Write down the lesions of the series that have no folder; call after all folders were read."""
        for name, rows in self._rows.items():
            if name not in self._seen:
                for row in rows:
                    if not row.is_noisy:
                        self._miss(row)

    def _miss(self, row: DeepLesionRow) -> None:
        what = f"{row.series_name}/{row.key_slice:03d}.png is not there"
        self._ledger.skip(line_of(FILE_NAME, row.line), Oddity.MISSING_IMAGE, what)

    def _note_other_spacings(self, rows: Sequence[DeepLesionRow]) -> None:
        for row in rows[1:]:
            if not np.array_equal(row.spacing_mm, rows[0].spacing_mm, equal_nan=True):
                what = (
                    f"{row.spacing_mm} mm differs from {rows[0].spacing_mm} mm in line {rows[0].line}, which was taken"
                )
                self._ledger.keep(line_of(FILE_NAME, row.line), Oddity.OTHER_SIZE, what)

    def _read_run(self, run: SubVolume, rows: Sequence[DeepLesionRow], lesions: Sequence[DeepLesionRow]) -> None:
        spacing_mm, is_known = spacing_of(rows, UNKNOWN_INTERVAL_MM)
        parts = [run]
        if not is_known:
            # Without an interval there are no neighbours: the key slice stands for all of them (algorithms 2, step 3).
            what = f"{rows[0].spacing_mm} mm: each key slice of {run.name} is a case of its own"
            self._ledger.keep(line_of(FILE_NAME, rows[0].line), Oddity.UNKNOWN_SPACING, what)
            parts = [SubVolume(run.folder, key, key) for key in sorted({row.key_slice for row in lesions})]
        for part in parts:
            held = [row for row in lesions if part.holds(row.key_slice)]
            geometry = geometry_of(part, spacing_mm, self._ledger)
            if geometry is None:
                self._ledger.leave_out(LOST, len(held))
            else:
                self.cases.append(self._case(part, geometry, held, rows[0]))

    def _case(
        self, part: SubVolume, geometry: VolumeGeometry, rows: Sequence[DeepLesionRow], any_row: DeepLesionRow
    ) -> Case:
        boxes = [(row, self._box_in_image(row, geometry)) for row in rows]
        kept = [(row, box) for row, box in boxes if box is not None]
        files = SubVolumeFiles(part, geometry)
        return Case(
            name=part.name,
            patient=f"{any_row.patient:06d}",
            dataset=DatasetName.DEEPLESION.value,
            split=any_row.split,
            geometry=geometry,
            lesions=tuple(_key_slice_lesion(part.name, geometry.slice_index(row.key_slice), box) for row, box in kept),
            load=files.load,
            facts=tuple(LesionFacts(row.lesion_type, float(np.mean(row.diameters_mm))) for row, _ in kept),
            scan=part.folder.name,
            files=files,
        )

    def _box_in_image(self, row: DeepLesionRow, geometry: VolumeGeometry) -> Box2D | None:
        """Return the box cut at the borders of the image; None if its centre lies outside."""
        place, (height, width) = line_of(FILE_NAME, row.line), geometry.shape[1:]
        if row.image_size != (width, height):
            announced = f"Image_size is {row.image_size}, {row.key_slice:03d}.png has {(width, height)}"
            self._ledger.keep(place, Oddity.OTHER_SIZE, announced)
        x1, y1, x2, y2 = row.box
        where = f"box {row.box} in an image of {width} x {height}"
        if not (0 < (x1 + x2) / 2 < width and 0 < (y1 + y2) / 2 < height):
            self._ledger.skip(place, Oddity.OUTSIDE, where)
            return None
        if min(x1, y1, width - x2, height - y2) < -_MARGIN_VOXELS:
            self._ledger.keep(place, Oddity.OUTSIDE, f"{where} was cut at its borders")
        left, top, right, bottom = clip(np.asarray([row.box]), (height, width))[0].tolist()
        return left, top, right, bottom


def _key_slice_lesion(series: str, key_slice: int, box: Box2D) -> Lesion:
    x1, y1, x2, y2 = box
    return Lesion(
        series=series,
        box=(x1, y1, key_slice, x2, y2, key_slice + 1),
        slices=((key_slice, *box),),
        role=LesionRole.POSITIVE,
        origin=LesionOrigin.ANNOTATION,
        key_slice=key_slice,
    )


def _counts(rows: Sequence[DeepLesionRow], cases: Sequence[Case]) -> dict[str, float]:
    splits, noisy = Counter(row.split for row in rows), Counter(row.split for row in rows if row.is_noisy)
    counts: dict[str, float] = {
        "patients": len({row.patient for row in rows}),
        "studies": len({(row.patient, row.study) for row in rows}),
        "lesions in the table": len(rows),
        "key slices in the table": len({(row.series_name, row.key_slice) for row in rows}),
        "noisy lesions": noisy.total(),
    }
    counts |= {f"{split} lesions in the table": splits[split] for split in Split}
    counts |= {f"noisy {split} lesions": noisy[split] for split in Split}
    types = Counter(row.lesion_type for row in rows)
    counts |= {f"{kind} lesions": types[kind] for kind in LESION_TYPES}
    of_split = {split: [case for case in cases if case.split is split] for split in Split}
    counts["usable lesions"] = sum(len(case.lesions) for case in cases)
    counts |= {f"usable {split} lesions": sum(len(case.lesions) for case in of_split[split]) for split in Split}
    counts["usable key slices"] = _key_slices(cases)
    counts |= {f"usable {split} key slices": _key_slices(of_split[split]) for split in Split}
    counts["sub-volumes"] = len(cases)
    counts["slices"] = sum(case.geometry.shape[0] for case in cases)
    return counts


def _key_slices(cases: Iterable[Case]) -> int:
    return sum(len({lesion.key_slice for lesion in case.lesions}) for case in cases)
