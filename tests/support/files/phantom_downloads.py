"""Phantom patients with all lesions of one type drawn, as cases and in the layouts of the data sets that draw them."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lens_engine.findings import Split
from lens_engine.phantom.patient import TRAIN_SEEDS, PhantomLesion, PhantomSeries, PhantomSettings, make_patient
from lens_engine.snapshot import Lesion, LesionOrigin, LesionRole
from lens_engine.volume import Volume
from lens_training.datasets.case import Case, LesionFacts
from lens_training.datasets.published.reading import DatasetName
from support.files.published_data import FEET_FIRST, save_metaimage, save_nifti, save_nih_ln, write_table

TYPES = {DatasetName.LUNA16: "lung", DatasetName.LITS: "liver", DatasetName.NIH_LN: "lymph node"}
"""What each of the data sets draws."""
PATIENTS = 12
SETTINGS = PhantomSettings(size=192, slice_spacing_mm=5.0, studies=1)


@cache
def phantom_scans(lesion_type: str) -> tuple[PhantomSeries, ...]:
    """Return a scan of each patient."""
    return tuple(make_patient(seed, lesion_type, SETTINGS).series[0] for seed in TRAIN_SEEDS[:PATIENTS])


def flipped(volume: Volume, axes: tuple[int, ...]) -> Volume:
    """Return the scan mirrored in its frame, so that what was drawn in it lies mirrored against it."""
    return replace(volume, voxels=np.ascontiguousarray(np.flip(volume.voxels, axes)))


def drawn_case(scan: PhantomSeries) -> Case:
    """Return a scan with its lesions, each on all of its slices."""
    drawn = [lesion for lesion in scan.lesions if lesion.is_labelled]
    return Case(
        name="phantom",
        patient="phantom",
        dataset="phantoms",
        split=Split.TRAIN,
        geometry=scan.volume.geometry,
        lesions=tuple(map(_drawn_lesion, drawn)),
        load=lambda: scan.volume,
        facts=tuple(LesionFacts(lesion.lesion_type) for lesion in drawn),
    )


def write_phantoms(name: DatasetName, folder: Path, axes: tuple[int, ...]) -> None:
    """Write the scans of a data set as published, each mirrored along some axes against what was drawn in it."""
    rows = []
    for number, scan in enumerate(phantom_scans(TYPES[name]), start=1):
        volume, mask = flipped(scan.volume, axes), _instance_mask(scan)
        if name is DatasetName.LITS:
            save_nifti(folder / f"volume-{number}.nii", volume.voxels, volume.geometry)
            save_nifti(folder / f"segmentation-{number}.nii", np.where(mask, 2, 0).astype(np.int16), volume.geometry)
        elif name is DatasetName.NIH_LN:
            save_nih_ln(folder, volume, mask, f"MED_LYMPH_{number:03d}")
        else:
            save_metaimage(folder / "subset0" / f"1.2.{number}.mhd", volume, *FEET_FIRST)
            rows += [_nodule_row(f"1.2.{number}", part, volume) for part in scan.lesions if part.is_labelled]
    if rows:
        write_table(folder / "annotations.csv", rows)


def _drawn_lesion(lesion: PhantomLesion) -> Lesion:
    return Lesion(
        series="phantom",
        box=lesion.box,
        slices=tuple((part.slice_index, *part.box) for part in lesion.slices),
        role=LesionRole.POSITIVE,
        origin=LesionOrigin.ANNOTATION,
        is_tight=True,
    )


def _instance_mask(scan: PhantomSeries) -> NDArray[np.int16]:
    drawn = [number for number, lesion in enumerate(scan.lesions, start=1) if lesion.is_labelled]
    return np.where(np.isin(scan.instances, drawn), scan.instances, 0).astype(np.int16)


def _nodule_row(uid: str, lesion: PhantomLesion, volume: Volume) -> dict[str, str]:
    x1, y1, z1, x2, y2, z2 = lesion.box
    centre = np.asarray([(z1 + z2 - 1) / 2, (y1 + y2 - 1) / 2, (x1 + x2 - 1) / 2])
    x, y, z = volume.geometry.index_to_mm(centre)
    values = {"seriesuid": uid, "coordX": x, "coordY": y, "coordZ": z, "diameter_mm": lesion.diameter_mm}
    return {name: str(value) for name, value in values.items()}
