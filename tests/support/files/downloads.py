"""The four data sets under the names of their downloads and with all their folders, each with a few small scans."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from lens_engine.findings import Split
from lens_engine.io.annotations.imported import TestSetPart
from lens_engine.io.annotations.manual_test_set import ManualSubVolume, write_pickle
from lens_engine.volume import Volume
from lens_training.datasets.published.manual_test_set import MANUAL_FILE
from lens_training.datasets.published.reading import ReadingOptions
from support.files.published_data import (
    BRIGHT_ABOVE_HU,
    FEET_FIRST,
    MANUAL_ROW,
    deeplesion_row,
    nodule_row,
    save_dicom,
    save_metaimage,
    save_nifti,
    save_pngs,
    scene,
    write_lits,
    write_nih_ln,
    write_table,
)

RIGHT_TO_LEFT = (2, 1, 0), (True, True, True)
LESION_HU = 240
"""Plausible for every type of lesion."""
SERIES = {"000001_01_01": "1", "000001_02_01": "1", "000002_01_01": "2", "000003_01_01": "3"}
"""Of DeepLesion, with their splits: a patient to learn from who was scanned twice, one to validate, one to test."""
PARTS = {"000002_01_01_039-052": TestSetPart.VAL, "000003_01_01_039-052": TestSetPart.TEST}
"""Sub-volumes of the manual test set."""


def soft_scene() -> Volume:
    """Return the scene with soft tissue and a lesion that stands out of it, beside the spine."""
    volume = scene()
    tissue = np.where((volume.voxels > -1000) & (volume.voxels < 600), volume.voxels // 8, volume.voxels)
    return replace(volume, voxels=np.where(volume.voxels > BRIGHT_ABOVE_HU, LESION_HU, tissue).astype(np.int16))


def write_downloads(folder: Path) -> None:
    """Write all four data sets below a folder."""
    _write_deeplesion(folder / "DeepLesion")
    _write_luna16(folder / "LUNA16")
    for number, batch in ((_number("lits-{:03d}", Split.TRAIN), 1), (_number("lits-{:03d}", Split.TEST), 2)):
        place = folder / "LITS" / f"Training Batch {batch}"
        write_lits(place, scene(), RIGHT_TO_LEFT, RIGHT_TO_LEFT, number)
        save_nifti(place / f"volume-{number}.nii", soft_scene().voxels, soft_scene().geometry, *RIGHT_TO_LEFT)
    for pattern, split in (("MED_LYMPH_{:03d}", Split.TRAIN), ("ABD_LYMPH_{:03d}", Split.TEST)):
        name = pattern.format(_number(pattern, split))
        write_nih_ln(folder, scene(), name)
        (slice_file, *_) = (folder / "CT Lymph Nodes" / name).rglob("*.dcm")
        save_dicom(slice_file.parent, soft_scene(), name)
    shutil.move(folder / "MED_ABD_LYMPH_MASKS", folder / "CT Lymph Nodes")


def _write_deeplesion(folder: Path) -> None:
    for series in SERIES:
        save_pngs(folder / "Images_png" / series, soft_scene(), 39)
    rows = [deeplesion_row(series, Train_Val_Test=split) for series, split in SERIES.items()]
    write_table(folder / "DL_info.csv", rows)
    boxes = np.asarray([MANUAL_ROW], dtype=np.float64)
    write_pickle(folder / MANUAL_FILE, [ManualSubVolume(part, name, boxes) for name, part in PARTS.items()])


def _write_luna16(folder: Path) -> None:
    """Write a scan in each of the ten subsets."""
    uids = [f"1.2.840.{number}" for number in range(10)]
    for number, uid in enumerate(uids):
        save_metaimage(folder / f"subset{number}" / f"{uid}.mhd", soft_scene(), *FEET_FIRST)
    write_table(folder / "annotations.csv", [nodule_row(uid, soft_scene()) for uid in uids])
    write_table(folder / "annotations_excluded.csv", [nodule_row(uids[0], soft_scene(), diameter_mm=-1)])


def _number(pattern: str, split: Split) -> int:
    """Return the first number with which a name belongs to a split."""
    return next(number for number in range(1, 100) if ReadingOptions().split_of(pattern.format(number)) is split)
