"""NIH-LN (TCIA CT Lymph Nodes): DICOM series with instance masks of lymph nodes (algorithms 1.8).

The voxels of a mask are those of the DICOM slices sorted from feet to head, whatever the NIfTI header of the mask says.
"""

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lens_engine.errors import LensError, SeriesError
from lens_engine.io.images.image_files import read_stored_values
from lens_engine.io.series import FoundSeries, scan
from lens_engine.progress import ProgressCallback
from lens_engine.snapshot import SnapshotSource
from lens_training.datasets.case import Case
from lens_training.datasets.published.listing import ListedScan, ListingCache, case_of_scan
from lens_training.datasets.published.mask_lesions import MaskShapeError, instance_lesions, whole_labels
from lens_training.datasets.published.reading import (
    DEFAULT_OPTIONS,
    DatasetName,
    Ledger,
    Oddity,
    Reading,
    ReadingOptions,
    refuse_empty,
)

LAYOUT = "DICOM files below folders MED_LYMPH_001 and ABD_LYMPH_001, and MED_ABD_LYMPH_MASKS/<ID>/<ID>_mask.nii.gz"

PUBLISHED = {
    "mediastinal scans": 90,
    "mediastinal lymph nodes": 388,
    "abdominal scans": 86,
    "abdominal lymph nodes": 595,
    "slices": 134_000,
}
"""LENS VI-A and Table I; the slices are rounded there, and TCIA itself lists about 110,000."""

REGIONS = {"MED": "mediastinal", "ABD": "abdominal"}

_PATIENT = re.compile(r"(MED|ABD)_LYMPH_\d{3}")
_OTHER_FOLDERS = "MED_ABD_LYMPH_"


def read(
    folder: Path, options: ReadingOptions = DEFAULT_OPTIONS, on_progress: ProgressCallback | None = None
) -> Reading:
    """Return the scans with their lymph nodes; every DICOM header and mask is read, unless the cache has it.

    Raises
    ------
    DatasetError
        If there is no scan with a mask.
    """
    ledger = Ledger(folder)
    scans, masks = _places(folder, ledger)
    if not scans.keys() & masks.keys():
        raise refuse_empty(folder, "NIH-LN", LAYOUT)
    for name in sorted(scans.keys() ^ masks.keys()):
        if name in scans:
            ledger.skip(scans[name][0], Oddity.MISSING_MASK, f"there is no {name}_mask.nii.gz")
        else:
            ledger.skip(masks[name], Oddity.MISSING_SCAN, f"there is no DICOM folder {name}")
    reader = _Reader(options, ledger)
    names = sorted(scans.keys() & masks.keys())
    cases: list[Case] = []
    for done, name in enumerate(names, start=1):
        cases += reader.case(name, scans[name], masks[name])
        if on_progress is not None:
            on_progress(done, len(names))
    counts: dict[str, float] = {}
    for prefix, region in REGIONS.items():
        of_region = [case for case in cases if case.name.startswith(prefix)]
        counts[f"{region} scans"] = len(of_region)
        counts[f"{region} lymph nodes"] = sum(len(case.lesions) for case in of_region)
    counts["slices"] = sum(case.geometry.shape[0] for case in cases)
    return Reading(DatasetName.NIH_LN, tuple(cases), counts, ledger.odd, ledger.skipped)


def _places(folder: Path, ledger: Ledger) -> tuple[dict[str, list[Path]], dict[str, Path]]:
    """Return the DICOM folders and the mask of every patient, without looking into the former."""
    scans: dict[str, list[Path]] = {}
    masks: dict[str, Path] = {}
    for place, folders, _ in os.walk(folder):
        for name in sorted(folders):
            if _PATIENT.fullmatch(name) is None:
                continue
            path = Path(place) / name
            mask = path / f"{name}_mask.nii.gz"
            if mask.is_file() and name in masks:
                ledger.skip(mask, Oddity.DUPLICATE, f"{masks[name].parent.parent.name} has it, too")
            elif mask.is_file():
                masks[name] = mask
            elif not path.parent.name.startswith(_OTHER_FOLDERS):
                scans.setdefault(name, []).append(path)
        folders[:] = [name for name in folders if _PATIENT.fullmatch(name) is None]
    return scans, masks


class _Reader:
    """Turns the folders of patients into cases."""

    def __init__(self, options: ReadingOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger
        self._cache = ListingCache(options.cache)

    def case(self, name: str, folders: list[Path], mask: Path) -> Iterator[Case]:
        """Yield the case of a patient, or nothing if the scan or the mask cannot be used."""
        files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        try:
            listed = self._cache.get(name, [*files, mask], partial(_list, folders, mask))
        except MaskShapeError as error:
            self._ledger.skip(mask, Oddity.OTHER_SHAPE, error.happened)
            return
        except LensError as error:
            self._ledger.skip(folders[0], Oddity.BROKEN_FILE, error.happened)
            return
        for oddity, what in listed.remarks:
            self._ledger.keep(mask, oddity, what)
        lesion_type = f"{REGIONS[name[:3]]} lymph node"
        yield case_of_scan(name, DatasetName.NIH_LN, listed, lesion_type, self._options)


def _list(folders: list[Path], mask: Path) -> ListedScan:
    report = scan(folders)
    if not report.found:
        raise report.problems[0]
    values = whole_labels(read_stored_values(mask), mask.name)
    series = _series_of_mask(report.found, values, mask)
    geometry = series.geometry
    remarks = [(Oddity.BROKEN_FILE, problem.happened) for problem in report.problems]
    if any(geometry.source_flips[1:]) or geometry.source_axes != (0, 1, 2):
        what = "the scan is not stored from right to left and front to back; its mask was taken voxel by voxel"
        remarks.append((Oddity.ODD_ORIENTATION, what))
    return ListedScan(
        geometry=geometry.as_dict(),
        source=SnapshotSource(
            format=series.source.format.value,
            paths=tuple(str(path) for path in series.source.paths),
            series_uid=series.source.series_uid,
        ),
        lesions=instance_lesions(geometry.to_canonical(values)),
        remarks=tuple(remarks),
    )


def _series_of_mask(found: tuple[FoundSeries, ...], values: NDArray[Any], mask: Path) -> FoundSeries:
    """Return the series whose voxels are those of the mask."""
    fitting = [series for series in found if series.geometry.source_shape() == values.shape]
    if not fitting:
        shapes = ", ".join(str(series.geometry.source_shape()) for series in found)
        raise MaskShapeError(
            f"{mask.name} has {values.shape} voxels (z, y, x), its scan {shapes}",
            "A mask of the same shape as its scan is needed",
            "Copy both again",
        )
    if len(fitting) > 1:
        raise SeriesError(
            f"{len(fitting)} series fit {mask.name}", "One series for each patient is needed", "Remove the others"
        )
    return fitting[0]
