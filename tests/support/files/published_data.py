"""A scan without any symmetry, with one bright box off its centre, written in the exact layout of each data set."""

import csv
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from lens_engine.geometry import VolumeGeometry
from lens_engine.io.annotations.deeplesion_csv import COLUMNS
from lens_engine.io.annotations.imported import TestSetPart
from lens_engine.io.annotations.manual_test_set import ManualSubVolume, write_pickle
from lens_engine.volume import Volume
from lens_training.datasets.published.manual_test_set import MANUAL_FILE

SHAPE = (14, 48, 64)
SPACING_MM = (2.0, 0.8, 0.5)
BRIGHT = (30, 12, 4, 46, 22, 8)
"""x1, y1, z1, x2, y2, z2 in voxels: a cube of 8 mm."""
SIDE_MM = 8.0
BRIGHT_ABOVE_HU = 1200
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

Order = tuple[int, ...]
Flips = tuple[bool, ...]
FEET_FIRST: tuple[Order, Flips] = ((0, 1, 2), (True, False, False))
"""How most files are stored: slices from feet to head, rows from front to back, columns from right to left."""

MANUAL_NAME = "000001_01_01_039-052"
"""The sub-volume of `write_deeplesion` in the manual test set."""
MANUAL_ROW = (*BRIGHT[:2], BRIGHT[2] + 39, BRIGHT[3] - 1, BRIGHT[4] - 1, BRIGHT[5] - 1 + 39)
"""The bright box there: inclusive ends, slices counted as in the series."""


def scene(shape: tuple[int, int, int] = SHAPE, bright: Sequence[int] = BRIGHT) -> Volume:
    """Return air, a body whose intensity rises differently along z, y and x, a spine, and the bright box."""
    geometry = VolumeGeometry(shape, SPACING_MM, origin_mm=(-35.5, -20.25, 110.0))
    z, y, x = np.indices(shape)
    voxels = np.full(shape, -1000)
    body = (slice(None), slice(3, shape[1] - 2), slice(5, shape[2] - 4))
    voxels[body] = (20 * z + 2 * y + x)[body]
    voxels[:, shape[1] - 9 : shape[1] - 4, 24:34] = 600
    x1, y1, z1, x2, y2, z2 = bright
    voxels[z1:z2, y1:y2, x1:x2] += 1500
    return Volume(voxels.astype(np.int16), geometry)


def stored(volume: Volume, order: Order, flips: Flips) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Return the voxels with axes permuted and flipped, and the LPS affine (4, 4) of their indices that keeps them."""
    return as_stored(volume.voxels, volume.geometry, order, flips)


def as_stored(
    voxels: NDArray[np.int16], geometry: VolumeGeometry, order: Order, flips: Flips
) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    steps = np.asarray(geometry.directions) * np.asarray(geometry.spacing_mm)[:, None]
    affine = np.eye(4)
    affine[:3, :3] = steps[list(order)].T
    affine[:3, 3] = geometry.origin_mm
    voxels = voxels.transpose(order)
    for axis in np.flatnonzero(flips):
        affine[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
        affine[:3, axis] *= -1
        voxels = np.flip(voxels, axis)
    return np.ascontiguousarray(voxels), affine


def save_metaimage(path: Path, volume: Volume, order: Order, flips: Flips) -> None:
    """Write a MetaImage whose array axes are as given; the first of them is the slowest."""
    voxels, affine = stored(volume, order, flips)
    image = sitk.GetImageFromArray(voxels)
    columns = affine[:3, 2::-1]  # of i, j, k
    spacing = np.linalg.norm(columns, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((columns / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def save_nifti(
    path: Path, voxels: NDArray[np.int16], geometry: VolumeGeometry, order: Order = (2, 1, 0), flips: Flips = ()
) -> None:
    """Write a NIfTI by nibabel, whose affine is RAS; `order` are the canonical axes of its i, j and k."""
    array, affine = as_stored(voxels, geometry, order, flips)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, LPS_TO_RAS @ affine), path)


def save_dicom(folder: Path, volume: Volume, patient: str = "patient", series_uid: str = "1.2.3.4") -> list[Path]:
    """Write one file for each slice, named and numbered from feet to head as NIH-LN's are; head first in the result."""
    folder.mkdir(parents=True, exist_ok=True)
    count = volume.geometry.shape[0]
    paths = []
    for index in range(count):
        path = folder / f"{count - 1 - index:06d}.dcm"
        _slice(volume, index, patient, series_uid).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def save_pngs(folder: Path, volume: Volume, first: int) -> None:
    """Write DeepLesion's slices, numbered from the head."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, plane in enumerate(volume.voxels):
        pixels = (plane.astype(np.int32) + 32768).astype(np.uint16)
        sitk.WriteImage(sitk.GetImageFromArray(pixels), str(folder / f"{first + index:03d}.png"))


def deeplesion_row(series: str = "000001_01_01", key_slice: int = 45, **changes: str) -> dict[str, str]:
    """Return a row about the bright box: the marks lie on the centres of its corner pixels, counted from 1."""
    patient, study, number = series.split("_")
    x1, y1, _, x2, y2, _ = BRIGHT
    left, top, right, bottom = x1 + 1, y1 + 1, x2, y2
    values = [
        f"{series}_{key_slice:03d}.png", str(int(patient)), str(int(study)), str(int(number)), str(key_slice),
        f"{left}, {top}, {right}, {bottom}, {left}, {bottom}, {right}, {top}",
        f"{left - 5}, {top - 5}, {right + 5}, {bottom + 5}", "20.0, 10.0", "0.5, 0.4, 0.3", "5", "0", "39, 52",
        "0.5, 0.8, 2.0", f"{SHAPE[2]}, {SHAPE[1]}", "-1500, 500", "F", "62.0", "1",
    ]  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True)) | changes


def write_table(path: Path, rows: Sequence[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def nodule_row(uid: str, volume: Volume, **changes: object) -> dict[str, str]:
    """Return a row of annotations.csv about the bright cube."""
    x1, y1, z1, x2, y2, z2 = BRIGHT
    centre = np.asarray([(z1 + z2 - 1) / 2, (y1 + y2 - 1) / 2, (x1 + x2 - 1) / 2])
    x, y, z = volume.geometry.index_to_mm(centre)
    values = {"seriesuid": uid, "coordX": x, "coordY": y, "coordZ": z, "diameter_mm": SIDE_MM} | changes
    return {name: str(value) for name, value in values.items()}


def write_deeplesion(folder: Path, volume: Volume, first: int = 39, rows: Sequence[dict[str, str]] = ()) -> None:
    save_pngs(folder / "Images_png" / "000001_01_01", volume, first)
    write_table(folder / "DL_info.csv", rows or [deeplesion_row()])


def write_luna16(folder: Path, volume: Volume, stored_as: tuple[Order, Flips] = FEET_FIRST) -> None:
    save_metaimage(folder / "subset3" / "1.2.840.1.mhd", volume, *stored_as)
    write_table(folder / "annotations.csv", [nodule_row("1.2.840.1", volume)])


def bright_mask(volume: Volume, label: int) -> NDArray[np.int16]:
    return ((volume.voxels > BRIGHT_ABOVE_HU) * label).astype(np.int16)


def write_lits(
    folder: Path, volume: Volume, scan_as: tuple[Order, Flips], mask_as: tuple[Order, Flips], number: int = 7
) -> None:
    mask = bright_mask(volume, 2)
    mask[5:9, 10:30, 10:20] = 1  # the liver, at the patient's right
    save_nifti(folder / f"volume-{number}.nii", volume.voxels, volume.geometry, *scan_as)
    save_nifti(folder / f"segmentation-{number}.nii.gz", mask, volume.geometry, *mask_as)


def write_nih_ln(folder: Path, volume: Volume, name: str = "MED_LYMPH_001", affine_sign: int = 1) -> None:
    save_nih_ln(folder, volume, bright_mask(volume, 3), name, affine_sign)


def save_nih_ln(folder: Path, volume: Volume, mask: NDArray[np.int16], name: str, affine_sign: int = 1) -> None:
    """Write a scan with its mask `[z, y, x]`, in which each lymph node has a number of its own."""
    series = folder / "CT Lymph Nodes" / name / "09-14-2014-MEDLYMPH001" / "mediastinallymphnodes-30274"
    save_dicom(series, volume, name)
    stored_mask = mask[::-1].transpose(2, 1, 0)  # to the left, to the back, to the head
    path = folder / "MED_ABD_LYMPH_MASKS" / name / f"{name}_mask.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([0.5 * affine_sign, 0.8 * affine_sign, 2.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(stored_mask), affine), path)


def _slice(volume: Volume, index: int, patient: str, series_uid: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PatientID = "CT", patient
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", series_uid
    dataset.InstanceNumber = volume.geometry.shape[0] - index
    position = volume.geometry.index_to_mm(np.asarray([index, 0, 0]))
    dataset.ImagePositionPatient = [round(float(value), 6) for value in position]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = list(SPACING_MM[1:])
    dataset.RescaleIntercept, dataset.RescaleSlope = "-1024", "1"
    pixels = (volume.voxels[index].astype(np.int32) + 1024).astype("<u2")
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = pixels.tobytes()
    return dataset


def write_manual_test(
    folder: Path,
    *rows: Sequence[float],
    name: str = MANUAL_NAME,
    part: TestSetPart = TestSetPart.TEST,
    empty: Sequence[str] = (),
) -> None:
    """Write the manual test set with one sub-volume and its boxes, and others without a box."""
    boxes = {name: np.asarray(rows, dtype=np.float64).reshape(-1, 6)} | dict.fromkeys(empty, np.zeros((0, 6)))
    write_pickle(folder / MANUAL_FILE, [ManualSubVolume(part, one, array) for one, array in boxes.items()])
