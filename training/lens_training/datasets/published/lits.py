"""LiTS: NIfTI scans with masks of liver and tumour; each connected part of the tumour is a lesion (algorithms 1.7)."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import LensError
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.annotations.annotation_file import is_same_grid
from lens_engine.io.images.image_files import read_image, read_image_geometry
from lens_engine.io.series import SeriesFormat
from lens_engine.progress import ProgressCallback
from lens_engine.snapshot import SnapshotSource
from lens_training.datasets.case import Case
from lens_training.datasets.published.listing import ListedScan, ListingCache, case_of_scan
from lens_training.datasets.published.mask_lesions import MaskShapeError, connected_lesions, whole_labels
from lens_training.datasets.published.reading import (
    DEFAULT_OPTIONS,
    DatasetName,
    Ledger,
    Oddity,
    Reading,
    ReadingOptions,
    refuse_empty,
)

LAYOUT = "volume-0.nii and segmentation-0.nii to number 130 (or .nii.gz), in one folder or below it"

PUBLISHED = {"scans": 131, "lesions": 908}
"""LENS VI-A and Table I."""

LIVER, TUMOUR = 1, 2
LESION_TYPE = "liver"

_FILE_NAME = re.compile(r"(volume|segmentation)-(\d+)\.nii(\.gz)?")


def read(
    folder: Path, options: ReadingOptions = DEFAULT_OPTIONS, on_progress: ProgressCallback | None = None
) -> Reading:
    """Return the scans with their tumours; every mask is read, unless the cache has it.

    Raises
    ------
    DatasetError
        If there is no scan with a mask.
    """
    ledger = Ledger(folder)
    scans, masks = _files(folder, ledger)
    if not scans.keys() & masks.keys():
        raise refuse_empty(folder, "LiTS", LAYOUT)
    for number in sorted(scans.keys() ^ masks.keys()):
        if number in scans:
            ledger.skip(scans[number], Oddity.MISSING_MASK, f"there is no segmentation-{number}.nii")
        else:
            ledger.skip(masks[number], Oddity.MISSING_SCAN, f"there is no volume-{number}.nii")
    reader = _Reader(options, ledger)
    pairs = sorted(scans.keys() & masks.keys())
    cases: list[Case] = []
    for done, number in enumerate(pairs, start=1):
        cases += reader.case(f"lits-{number:03d}", scans[number], masks[number])
        if on_progress is not None:
            on_progress(done, len(pairs))
    counts = {
        "scans": len(cases),
        "lesions": sum(len(case.lesions) for case in cases),
        "scans without a lesion": sum(not case.lesions for case in cases),
        "slices": sum(case.geometry.shape[0] for case in cases),
    }
    return Reading(DatasetName.LITS, tuple(cases), counts, ledger.odd, ledger.skipped)


def _files(folder: Path, ledger: Ledger) -> tuple[dict[int, Path], dict[int, Path]]:
    """Return scans and masks by their number."""
    found: dict[str, dict[int, Path]] = {"volume": {}, "segmentation": {}}
    for path in sorted(folder.rglob("*.nii*")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            ledger.leave_out("NIfTI file with another name")
        elif int(match[2]) in found[match[1]]:
            taken = found[match[1]][int(match[2])].relative_to(folder).as_posix()
            ledger.skip(path, Oddity.DUPLICATE, f"{taken} was taken")
        else:
            found[match[1]][int(match[2])] = path
    return found["volume"], found["segmentation"]


class _Reader:
    """Turns pairs of files into cases."""

    def __init__(self, options: ReadingOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger
        self._cache = ListingCache(options.cache)

    def case(self, name: str, scan: Path, mask: Path) -> Iterator[Case]:
        """Yield the case of a scan, or nothing if it or its mask cannot be used."""
        try:
            listed = self._cache.get(name, [scan, mask], partial(_list, scan, mask))
        except MaskShapeError as error:
            self._ledger.skip(mask, Oddity.OTHER_SHAPE, error.happened)
            return
        except LensError as error:
            self._ledger.skip(scan, Oddity.BROKEN_FILE, error.happened)
            return
        for oddity, what in listed.remarks:
            self._ledger.keep(mask, oddity, what)
        smallest = self._options.min_lesion_voxels
        large = tuple(lesion for lesion in listed.lesions if lesion.voxels >= smallest)
        self._ledger.leave_out(f"lesion below {smallest} voxels", len(listed.lesions) - len(large))
        kept = listed.model_copy(update={"lesions": large})
        yield case_of_scan(name, DatasetName.LITS, kept, LESION_TYPE, self._options)


def _list(scan: Path, mask: Path) -> ListedScan:
    geometry = read_image_geometry(scan)
    labels, remarks = _canonical_labels(mask, geometry)
    source = SnapshotSource(format=SeriesFormat.NIFTI.value, paths=(str(scan.absolute()),))
    return ListedScan(
        geometry=geometry.as_dict(),
        source=source,
        lesions=connected_lesions(labels == TUMOUR),
        remarks=(*remarks, *_remarks_on_liver(labels)),
    )


def _canonical_labels(mask: Path, scan: VolumeGeometry) -> tuple[NDArray[Any], list[tuple[Oddity, str]]]:
    """Return the labels on the canonical grid of the scan.

    Where both headers say the same place, they are believed; where they disagree but the arrays fit, the mask was drawn
    on the array of the scan.
    """
    values, geometry = read_image(mask)
    whole_labels(values, mask.name)
    if is_same_grid(geometry, scan):
        return geometry.to_canonical(values), []
    if values.shape != scan.source_shape():
        raise MaskShapeError(
            f"{mask.name} has {values.shape} voxels (z, y, x), its scan {scan.source_shape()}",
            "A mask of the same shape as its scan is needed",
            "Copy both files again",
        )
    what = "its header lies elsewhere than that of the scan; the voxels of both were taken as the same"
    return scan.to_canonical(values), [(Oddity.OTHER_GRID, what)]


def _remarks_on_liver(labels: NDArray[Any]) -> list[tuple[Oddity, str]]:
    """Return a remark if the liver lies in the patient's left half, which a wrong header would show."""
    across = np.count_nonzero(labels == LIVER, axis=(0, 1))
    if not across.any():
        return []
    middle = float(np.average(np.arange(len(across)) + 0.5, weights=across)) / len(across)
    if middle <= 0.5:
        return []
    return [(Oddity.ODD_ORIENTATION, f"the liver lies at {middle:.0%} of the way from right to left")]
