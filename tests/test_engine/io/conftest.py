"""A small asymmetric CT and functions that write it in every format, broken as a test wants it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume

Edit = Callable[[Dataset, int], None]


@pytest.fixture
def phantom() -> Volume:
    """Return a volume without any symmetry: every voxel differs from its mirror images."""
    shape = (6, 8, 10)
    z, y, x = np.indices(shape)
    voxels = (-1000 + 300 * z + 29 * y + 3 * x).astype(np.int16)
    geometry = VolumeGeometry(shape, spacing_mm=(2.5, 0.8, 0.7), origin_mm=(-35.5, -20.25, 110.0))
    return Volume(voxels, geometry)


def slice_dataset(
    volume: Volume, index: int, series_uid: str = "1.2.3.4", sop_class: str = CTImageStorage
) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "patient-7"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", series_uid
    dataset.StudyDate, dataset.SeriesDescription = "20240229", "chest"
    dataset.InstanceNumber = 99 - index
    geometry = volume.geometry
    dataset.ImagePositionPatient = [round(float(v), 6) for v in geometry.index_to_mm(np.asarray([index, 0, 0]))]
    dataset.ImageOrientationPatient = [*geometry.directions[2], *geometry.directions[1]]
    dataset.PixelSpacing = [geometry.spacing_mm[1], geometry.spacing_mm[2]]
    dataset.RescaleIntercept, dataset.RescaleSlope = "-1024", "1"
    set_pixels(dataset, (volume.voxels[index].astype(np.int32) + 1024).astype(np.uint16))
    return dataset


def set_pixels(dataset: Dataset, pixels: NDArray[np.uint16]) -> None:
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = pixels.astype("<u2").tobytes()


def save(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


WriteDicom = Callable[..., list[Path]]


@pytest.fixture
def write_dicom(phantom: Volume) -> WriteDicom:
    """Return a function that writes the phantom as single slices in shuffled files; `edit` changes each data set."""

    def write(
        folder: Path, edit: Edit | None = None, series_uid: str = "1.2.3.4", volume: Volume = phantom
    ) -> list[Path]:
        paths = []
        for index in range(volume.geometry.shape[0]):
            dataset = slice_dataset(volume, index, series_uid)
            if edit is not None:
                edit(dataset, index)
            paths.append(save(dataset, folder / f"{(index * 37) % 101:03d}_{index}.dcm"))
        return paths

    return write


@pytest.fixture
def write_enhanced(phantom: Volume) -> Callable[..., Path]:
    """Return a function that writes the phantom as one enhanced CT with its frames in the given order."""

    def write(path: Path, order: tuple[int, ...] = (3, 0, 5, 1, 4, 2)) -> Path:
        dataset = slice_dataset(phantom, 0, sop_class=EnhancedCTImageStorage)
        del dataset.ImagePositionPatient, dataset.ImageOrientationPatient, dataset.PixelSpacing
        del dataset.RescaleSlope, dataset.RescaleIntercept
        shared = Dataset()
        shared.PlaneOrientationSequence = [Dataset()]
        shared.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        shared.PixelMeasuresSequence = [Dataset()]
        shared.PixelMeasuresSequence[0].PixelSpacing = [0.8, 0.7]
        shared.PixelMeasuresSequence[0].SliceThickness = 2.5
        shared.PixelValueTransformationSequence = [Dataset()]
        transformation = shared.PixelValueTransformationSequence[0]
        transformation.RescaleIntercept, transformation.RescaleSlope, transformation.RescaleType = "-1024", "1", "HU"
        dataset.SharedFunctionalGroupsSequence = [shared]
        frames = []
        for index in order:
            frame = Dataset()
            frame.PlanePositionSequence = [Dataset()]
            frame.PlanePositionSequence[0].ImagePositionPatient = list(
                phantom.geometry.index_to_mm(np.asarray([index, 0, 0])).round(6)
            )
            frames.append(frame)
        dataset.PerFrameFunctionalGroupsSequence = frames
        dataset.NumberOfFrames = len(order)
        set_pixels(dataset, (phantom.voxels[list(order)].astype(np.int32) + 1024).astype(np.uint16))
        return save(dataset, path)

    return write


@pytest.fixture
def write_image(phantom: Volume) -> Callable[..., Path]:
    """Return a function that writes a canonical volume as an image file in LPS with z towards the head."""

    def write(path: Path, volume: Volume = phantom) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(as_image(volume), str(path))
        return path

    return write


def as_image(volume: Volume) -> sitk.Image:
    geometry = volume.geometry
    image = sitk.GetImageFromArray(volume.voxels[::-1])
    image.SetSpacing(geometry.spacing_mm[::-1])
    image.SetOrigin([float(v) for v in geometry.index_to_mm(np.asarray([geometry.shape[0] - 1, 0, 0]))])
    return image


@pytest.fixture
def write_png_series(phantom: Volume) -> Callable[..., None]:
    """Return a function that writes the phantom's slices as DeepLesion PNG files with the given slice numbers."""

    def write(folder: Path, numbers: tuple[int, ...]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for index, number in enumerate(numbers):
            pixels = (phantom.voxels[index].astype(np.int32) + 32768).astype(np.uint16)
            sitk.WriteImage(sitk.GetImageFromArray(pixels), str(folder / f"{number:03d}.png"))

    return write


CSV_HEADER = (
    "File_name,Patient_index,Study_index,Series_ID,Key_slice_index,Measurement_coordinates,Bounding_boxes,"
    "Lesion_diameters_Pixel_,Normalized_lesion_location,Coarse_lesion_type,Possibly_noisy,Slice_range,Spacing_mm_px_,"
    "Image_size,DICOM_windows,Patient_gender,Patient_age,Train_Val_Test"
)
CSV_ROW = (
    '000001_01_02_040.png,1,1,2,40,"6.0, 6.0, 8.0, 7.0, 7.0, 5.5, 7.2, 8.0","1.0, 0.5, 13.0, 13.0","2.2, 2.5",'
    '"0.3, 0.4, 0.5",5,0,"39, 44","0.7, 0.8, 2.5","10, 8","-175, 275",F,62.0,3'
)


@pytest.fixture
def write_csv() -> Callable[..., Path]:
    """Return a function that writes a DL_info.csv of one row, with replacements made in the row."""

    def write(folder: Path, *replacements: tuple[str, str], header: str = CSV_HEADER) -> Path:
        row = CSV_ROW
        for old, new in replacements:
            assert old in row
            row = row.replace(old, new)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "DL_info.csv"
        path.write_text(f"{header}\n{row}\n")
        return path

    return write
