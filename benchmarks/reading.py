"""Reading one series of every format: seconds and memory, against the plain call of the library people use for it.

Our side is the whole way to the canonical int16 volume, with every check on the way; a baseline stops at its array.
"""

import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from benchmarks.measure import Comparison, compare
from lens_engine.io.series import read_volume, scan

SHAPE = (300, 512, 512)
SPACING_MM = (1.0, 0.75, 0.75)
REPEATS = 5

_BYTES_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024

_PNG_FOLDER = "000001_01_01"
_TABLE_HEADER = (
    "File_name,Patient_index,Study_index,Series_ID,Key_slice_index,Measurement_coordinates,Bounding_boxes,"
    "Lesion_diameters_Pixel_,Normalized_lesion_location,Coarse_lesion_type,Possibly_noisy,Slice_range,Spacing_mm_px_,"
    "Image_size,DICOM_windows,Patient_gender,Patient_age,Train_Val_Test"
)
_TABLE_ROW = (
    '000001_01_01_002.png,1,1,1,2,"6, 6, 8, 7, 7, 5, 7, 8","1, 1, 13, 13","2.2, 2.5","0.3, 0.4, 0.5",5,0,"1, 3",'
    '"0.75, 0.75, 1.0","512, 512","-175, 275",F,62,3'
)

Read = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Case:
    """One format.

    Attributes
    ----------
    name
        Of the format.
    baselines
        Name and call of what others use.
    ours
        Reads the same files into the canonical volume.
    """

    name: str
    baselines: tuple[tuple[str, Read], ...]
    ours: Read


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by which a fresh process grows at most, while it reads by the baseline or by our way."""

    name: str
    baseline: str
    baseline_bytes: int
    ours_bytes: int


def run() -> list[Comparison]:
    """Return the seconds of all formats, each against its baselines."""
    with tempfile.TemporaryDirectory() as folder:
        return _times(cases(Path(folder), synthetic_ct(SHAPE)))


def main() -> None:
    """Print seconds and memory of all formats."""
    with tempfile.TemporaryDirectory() as folder:
        written = cases(Path(folder), synthetic_ct(SHAPE))
        _print(_times(written), _memory(written))


def peak_growth(read: Read) -> int:
    """Return the bytes by which the largest memory of a fresh process grows during one call."""
    # A server that forks, because the largest memory of a process that was started by a big one begins with that one's.
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_growth_here, read).result()


def synthetic_ct(shape: tuple[int, int, int]) -> NDArray[np.int16]:
    """Return a body with lungs and the noise of a scanner; it packs about as well as a CT does."""
    slices, rows, columns = shape
    down, across = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    body = (down / 0.7) ** 2 + (across / 0.9) ** 2 < 1
    lungs = ((down + 0.06) / 0.43) ** 2 + ((np.abs(across) - 0.4) / 0.3) ** 2 < 1
    tissue = np.where(lungs, -850, np.where(body, 40, -1000))
    generator = np.random.default_rng(0)
    grain = generator.normal(0, 60, (8, rows, columns))
    grain = (grain + np.roll(grain, 1, axis=1) + np.roll(grain, 1, axis=2) + np.roll(grain, (1, 1), axis=(1, 2))) / 4
    noise = [np.clip(tissue + each * np.where(body, 1, 0.1), -1024, 3071).astype(np.int16) for each in grain]
    voxels = np.empty(shape, dtype=np.int16)
    for index in range(slices):
        voxels[index] = np.roll(noise[index % len(noise)], index // len(noise), axis=1)
    return voxels


def cases(folder: Path, voxels: NDArray[np.int16]) -> list[Case]:
    """Write canonical voxels in every format, each in a folder of its own, and return how they are read."""
    image = sitk.GetImageFromArray(voxels[::-1])  # ITK counts slices from the feet
    image.SetSpacing(SPACING_MM[::-1])
    nifti_gz, nifti, metaimage, nrrd, nrrd_gz = (
        write_image(image, folder / place, place.endswith("packed.nrrd"))
        for place in ("gz/ct.nii.gz", "nii/ct.nii", "mhd/ct.mhd", "nrrd/ct.nrrd", "gz_nrrd/packed.nrrd")
    )
    dicom = write_dicom(folder / "dicom", voxels)
    slices = write_png(folder / "png", voxels)
    return [
        _case(".nii.gz", nifti_gz, voxels, {"nibabel get_fdata": _nibabel, "SimpleITK": _simpleitk}),
        _case(".nii", nifti, voxels, {"nibabel get_fdata": _nibabel, "SimpleITK": _simpleitk}),
        _case(".mhd + .raw", metaimage, voxels, {"SimpleITK": _simpleitk}),
        _case(".nrrd", nrrd, voxels, {"SimpleITK": _simpleitk}),
        _case(".nrrd, gzip", nrrd_gz, voxels, {"SimpleITK": _simpleitk}),
        _case("DICOM", dicom, voxels, {"SimpleITK series": _simpleitk_series}),
        _case("DeepLesion PNG", slices, voxels, {"Pillow": _pillow, "SimpleITK": _simpleitk_slices}),
    ]


def _times(written: Sequence[Case]) -> list[Comparison]:
    return [
        compare(f"read {case.name}, {SHAPE[0]} slices", name, baseline, case.ours, REPEATS)
        for case in written
        for name, baseline in case.baselines
    ]


def _memory(written: Sequence[Case]) -> list[Memory]:
    return [
        Memory(case.name, name, peak_growth(baseline), peak_growth(case.ours))
        for case in written
        for name, baseline in case.baselines
    ]


def _case(name: str, path: Path, voxels: NDArray[np.int16], baselines: dict[str, Callable[[Path], object]]) -> Case:
    (found,) = scan([path]).found
    ours = partial(read_volume, found.source)
    if not np.array_equal(ours().voxels, voxels):
        raise ValueError(f"{name} was not read as it was written: its time means nothing")
    return Case(name, tuple((title, partial(read, path)) for title, read in baselines.items()), ours)


def write_image(image: sitk.Image, path: Path, is_packed: bool) -> Path:
    """Write one image file into a folder that is made for it, and return its path."""
    path.parent.mkdir(parents=True)
    sitk.WriteImage(image, str(path), useCompression=is_packed)
    return path


def write_dicom(folder: Path, voxels: NDArray[np.int16]) -> Path:
    """Write one file for each slice; the tags are those that a CT must have, and some that they always have."""
    folder.mkdir(parents=True)
    series_uid, study_uid, frame_uid = generate_uid(), generate_uid(), generate_uid()
    for index, hounsfield in enumerate(voxels):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        slice_ = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        slice_.StudyInstanceUID, slice_.SeriesInstanceUID = study_uid, series_uid
        slice_.FrameOfReferenceUID, slice_.PositionReferenceIndicator = frame_uid, ""
        slice_.Modality, slice_.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        slice_.StudyDate = slice_.SeriesDate = slice_.AcquisitionDate = slice_.ContentDate = "20240229"
        slice_.StudyTime = slice_.SeriesTime = slice_.AcquisitionTime = slice_.ContentTime = "101112"
        slice_.Manufacturer, slice_.ManufacturerModelName, slice_.SoftwareVersions = "none", "synthetic", "1"
        slice_.PatientName, slice_.PatientID, slice_.PatientSex, slice_.PatientPosition = "none", "1", "O", "HFS"
        slice_.StudyDescription, slice_.SeriesDescription, slice_.ProtocolName = "chest", "chest", "chest"
        slice_.SliceThickness, slice_.KVP, slice_.DataCollectionDiameter = SPACING_MM[0], "120", "500"
        slice_.ReconstructionDiameter, slice_.ExposureTime, slice_.XRayTubeCurrent = "384", "500", "200"
        slice_.ConvolutionKernel, slice_.GantryDetectorTilt, slice_.TableHeight = "B30f", "0", "150"
        slice_.SeriesNumber, slice_.AcquisitionNumber, slice_.InstanceNumber = 1, 1, index + 1
        slice_.ImagePositionPatient = [-192.0, -192.0, -SPACING_MM[0] * index]
        slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        slice_.SliceLocation, slice_.PixelSpacing = -SPACING_MM[0] * index, list(SPACING_MM[1:])
        slice_.RescaleIntercept, slice_.RescaleSlope, slice_.RescaleType = "-1024", "1", "HU"
        slice_.WindowCenter, slice_.WindowWidth = "40", "400"
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.Rows, slice_.Columns = hounsfield.shape
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 12, 11, 0
        slice_.PixelData = (hounsfield + 1024).astype("<u2").tobytes()
        slice_.save_as(folder / f"{index:04d}.dcm", enforce_file_format=True)
    return folder


def write_png(folder: Path, voxels: NDArray[np.int16]) -> Path:
    """Write one file for each slice and the table that has their spacing, and return the folder of the slices."""
    slices = folder / _PNG_FOLDER
    slices.mkdir(parents=True)
    (folder / "DL_info.csv").write_text(f"{_TABLE_HEADER}\n{_TABLE_ROW}\n", encoding="utf-8")
    for number, hounsfield in enumerate(voxels, start=1):
        pixels = (hounsfield.astype(np.int32) + 32768).astype(np.uint16)
        sitk.WriteImage(sitk.GetImageFromArray(pixels), str(slices / f"{number:03d}.png"))
    return slices


def _nibabel(path: Path) -> NDArray[np.floating]:
    return nibabel.Nifti1Image.from_filename(path).get_fdata()


def _simpleitk(path: Path) -> NDArray[np.int16]:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def _simpleitk_series(folder: Path) -> NDArray[np.int16]:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(reader.Execute())


def _pillow(folder: Path) -> NDArray[np.uint16]:
    slices = []
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            slices.append(np.asarray(image))
    return np.stack(slices)


def _simpleitk_slices(folder: Path) -> NDArray[np.uint16]:
    return np.stack([sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in sorted(folder.glob("*.png"))])


def _growth_here(read: Read) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * _BYTES_OF_MAXRSS


def _print(times: Sequence[Comparison], memory: Sequence[Memory]) -> None:
    print(
        f"{'what':36} {'baseline':18} {'baseline s':>10} {'ours s':>7} {'ratio':>6} {'baseline MB':>12} {'ours MB':>8}"
    )
    for row, grown in zip(times, memory, strict=True):
        print(
            f"{row.name:36} {row.baseline:18} {row.baseline_seconds:10.3f} {row.ours_seconds:7.3f} {row.ratio:5.2f}x"
            f" {grown.baseline_bytes / 1e6:12.0f} {grown.ours_bytes / 1e6:8.0f}"
        )


if __name__ == "__main__":
    main()
