"""The published 3D test set of DeepLesion: 1,000 completely annotated sub-volumes in two parts (algorithms 1.5)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import clip, overlaps
from lens_engine.findings import Box3D, Split
from lens_engine.io.annotations.deeplesion_csv import FILE_NAME, DeepLesionRow, read_table
from lens_engine.io.annotations.imported import TestSetPart
from lens_engine.io.annotations.manual_test_set import ManualSubVolume, boxes_from_rows, read_pickle, sub_volume_name
from lens_engine.progress import ProgressCallback
from lens_engine.snapshot import Lesion, LesionOrigin, LesionRole
from lens_training.datasets.case import Case, LesionFacts
from lens_training.datasets.published.deeplesion import geometry_of, spacing_of
from lens_training.datasets.published.reading import (
    DatasetName,
    Ledger,
    Oddity,
    Reading,
    line_of,
    refuse_empty,
)
from lens_training.datasets.published.sub_volumes import SubVolume, SubVolumeFiles, images_folder

MANUAL_FILE = "DeepLesion_manual_1K_test_release.pkl"
LAYOUT = f"{MANUAL_FILE} in the folder of DeepLesion (DL_info.csv and Images_png), or one folder below"

PUBLISHED = {
    "val sub-volumes": 200,
    "val boxes": 1292,
    "val slices": 9181,
    "val patients": 99,
    "val sub-volumes without a box": 0,
    "test sub-volumes": 800,
    "test boxes": 4155,
    "test slices": 34114,
    "test patients": 519,
    "test sub-volumes without a box": 31,
    "usable sub-volumes": 1000,
}

ASSUMED_INTERVAL_MM = 2.0
"""Taken where DL_info.csv gives no slice interval: that of the network's grid, which then sees every slice once."""
_SAME_LESION_IOU = 0.5


def find_manual_file(folder: Path) -> Path | None:
    """Return the published pickle in a folder or one below it."""
    return next(iter([*folder.glob(MANUAL_FILE), *sorted(folder.glob(f"*/{MANUAL_FILE}"))]), None)


def manual_test_cases(folder: Path, on_progress: ProgressCallback | None = None) -> Reading:
    """Return the sub-volumes of the test set, with their complete 3D boxes; parts are the splits val and test.

    A box on whose key slice DL_info.csv has the same lesion gets the type and the diameter that the table gives.

    Raises
    ------
    DatasetError
        If the folder does not hold the test set.
    AnnotationFileError
        If one of its files is not what it should be.
    """
    path = find_manual_file(folder)
    if path is None:
        raise refuse_empty(folder, "manual test set of DeepLesion", LAYOUT)
    ledger = Ledger(folder)
    reader = _Reader(images_folder(folder), _rows_by_series(folder / FILE_NAME, ledger), ledger)
    sub_volumes = read_pickle(path)
    cases: list[Case] = []
    for done, sub_volume in enumerate(sub_volumes, start=1):
        cases += reader.case(sub_volume)
        if on_progress is not None:
            on_progress(done, len(sub_volumes))
    counts = _counts(sub_volumes) | {"usable sub-volumes": len(cases)}
    return Reading(DatasetName.DEEPLESION, tuple(cases), counts, ledger.odd, ledger.skipped)


def _rows_by_series(path: Path, ledger: Ledger) -> dict[str, list[DeepLesionRow]]:
    rows: dict[str, list[DeepLesionRow]] = {}
    if path.is_file():
        table = read_table(path)
        for problem in table.problems:
            note = ledger.skip if problem.row is None else ledger.keep
            note(line_of(FILE_NAME, problem.line), Oddity.BROKEN_ROW, problem.what)
        for row in table.rows:
            rows.setdefault(row.series_name, []).append(row)
    return rows


class _Reader:
    """Finds the images and the spacing of the sub-volumes."""

    def __init__(self, images: Path | None, rows: dict[str, list[DeepLesionRow]], ledger: Ledger) -> None:
        self._images = images
        self._rows = rows
        self._ledger = ledger

    def case(self, sub_volume: ManualSubVolume) -> Iterable[Case]:
        """Yield the case of a sub-volume, or nothing if it cannot be used."""
        given = sub_volume_name(sub_volume.name)
        first, last = given.first_slice or 0, given.last_slice or 0
        if self._images is None:
            self._ledger.skip(sub_volume.name, Oddity.MISSING_IMAGE, "there are no images")
            return
        part = SubVolume(self._images / given.series_name, first, last)
        missing = [number for number in range(first, last + 1) if not part.path(number).is_file()]
        if missing:
            what = f"{len(missing)} of {part.count} slices are not there, the first is {part.path(missing[0]).name}"
            self._ledger.skip(sub_volume.name, Oddity.MISSING_IMAGE, what)
            return
        rows = self._rows.get(given.series_name)
        if rows is None:
            self._ledger.skip(sub_volume.name, Oddity.UNKNOWN_SPACING, f"{FILE_NAME} has no row for its series")
            return
        spacing_mm, is_known = spacing_of(rows, ASSUMED_INTERVAL_MM)
        if not is_known:
            what = f"{rows[0].spacing_mm} mm in {FILE_NAME}; {ASSUMED_INTERVAL_MM} mm between slices were assumed"
            self._ledger.keep(sub_volume.name, Oddity.UNKNOWN_SPACING, what)
        geometry = geometry_of(part, spacing_mm, self._ledger)
        if geometry is None:
            return
        boxes = boxes_from_rows(sub_volume.rows, first)
        outside = int((boxes != clip(boxes, geometry.shape)).any(axis=1).sum())
        if outside:
            self._ledger.keep(sub_volume.name, Oddity.OUTSIDE, f"{outside} boxes leave its {geometry.shape} voxels")
        files = SubVolumeFiles(part, geometry)
        yield Case(
            name=sub_volume.name,
            patient=f"{given.patient:06d}",
            dataset=DatasetName.DEEPLESION.value,
            split=Split(sub_volume.part.value),
            geometry=geometry,
            lesions=tuple(_complete_lesion(sub_volume.name, box) for box in boxes.tolist()),
            load=files.load,
            facts=_facts(boxes, [row for row in rows if part.holds(row.key_slice)], first),
            files=files,
        )


def _complete_lesion(series: str, row: Sequence[float]) -> Lesion:
    x1, y1, z1, x2, y2, z2 = row
    box: Box3D = (x1, y1, z1, x2, y2, z2)
    return Lesion(
        series=series,
        box=box,
        slices=tuple((index, x1, y1, x2, y2) for index in range(round(z1), round(z2))),
        role=LesionRole.POSITIVE,
        origin=LesionOrigin.ANNOTATION,
    )


def _facts(boxes: NDArray[np.float64], rows: Sequence[DeepLesionRow], first: int) -> tuple[LesionFacts, ...]:
    """Return what the table says about each 3D box: that of the lesion which it shows on a key slice."""
    facts = []
    known = np.asarray([row.box for row in rows]).reshape(-1, 4)
    for box in boxes:
        shared = overlaps(box[[0, 1, 3, 4]][None], known)[0]
        fitting = [
            (float(iou), row)
            for iou, row in zip(shared, rows, strict=True)
            if iou > _SAME_LESION_IOU and box[2] <= row.key_slice - first < box[5]
        ]
        best = max(fitting, key=lambda pair: pair[0], default=None)
        facts.append(
            LesionFacts() if best is None else LesionFacts(best[1].lesion_type, float(np.mean(best[1].diameters_mm)))
        )
    return tuple(facts)


def _counts(sub_volumes: Sequence[ManualSubVolume]) -> dict[str, float]:
    counts: Counter[str] = Counter()
    patients: dict[TestSetPart, set[int]] = {part: set() for part in TestSetPart}
    for sub_volume in sub_volumes:
        given, part = sub_volume_name(sub_volume.name), sub_volume.part
        patients[part].add(given.patient)
        counts[f"{part} sub-volumes"] += 1
        counts[f"{part} boxes"] += len(sub_volume.rows)
        counts[f"{part} slices"] += (given.last_slice or 0) - (given.first_slice or 0) + 1
        counts[f"{part} sub-volumes without a box"] += not len(sub_volume.rows)
    return {**counts, **{f"{part} patients": len(seen) for part, seen in patients.items()}}
