"""Writes a phantom scan as a real CT series: one file a slice, names in no order."""

import hashlib
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from lens_engine.geometry import VolumeGeometry
from lens_engine.phantom.acquisition import LOWEST_HU, Kernel
from lens_engine.phantom.patient import GENERATOR_VERSION, PhantomPatient, PhantomSeries
from lens_engine.phantom.tissues import Phase

IMPLEMENTATION_UID = UID("2.25.117300218464925116730226021538461742983")
MANUFACTURER = "LENS phantom"


def write_dicom_series(folder: Path, patient: PhantomPatient, series: PhantomSeries) -> tuple[Path, ...]:
    """Write one series into `folder` and return its files from head to feet.

    Stored values are HU + 1024 in 12 of 16 bits. `InstanceNumber` counts from 1 at the head. The patient is called
    'PHANTOM-<number>' with study and series numbers as in the series; all UIDs follow from seed and generator version.
    """
    folder.mkdir(parents=True, exist_ok=True)
    common = _describe_series(patient, series)
    files = []
    for index in range(series.volume.geometry.shape[0]):
        uid = _uid(patient, series, f"slice {index}")
        path = folder / f"{hashlib.sha256(uid.encode()).hexdigest()[:16]}.dcm"
        _slice_dataset(common, series.volume.geometry, series.volume.voxels[index], index, uid).save_as(
            path, enforce_file_format=True
        )
        files.append(path)
    return tuple(files)


def patient_id(patient: PhantomPatient) -> str:
    """Return what the scans of a phantom carry as PatientID."""
    return f"PHANTOM-{patient.number:06d}"


def _uid(patient: PhantomPatient, series: PhantomSeries | None, part: str) -> UID:
    place = [str(series.study_number), str(series.series_number)] if series else []
    return generate_uid(
        entropy_srcs=[
            "lens phantom",
            str(GENERATOR_VERSION),
            patient.dataset,
            str(patient.number),
            str(patient.seed),
            *place,
            part,
        ]
    )


def _describe_series(patient: PhantomPatient, series: PhantomSeries) -> Dataset:
    """Return the attributes that all slices share."""
    study = f"study {series.study_number}"
    day = series.study_date.strftime("%Y%m%d")
    common = Dataset()
    common.SpecificCharacterSet = "ISO_IR 100"
    common.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    common.SOPClassUID = CTImageStorage
    common.StudyDate = common.SeriesDate = common.AcquisitionDate = common.ContentDate = day
    common.StudyTime = common.SeriesTime = common.AcquisitionTime = common.ContentTime = "101500"
    common.AccessionNumber = ""
    common.Modality = "CT"
    common.Manufacturer = MANUFACTURER
    common.ManufacturerModelName = "Analytic body"
    common.DeviceSerialNumber = "1"
    common.SoftwareVersions = f"generator {GENERATOR_VERSION}"
    common.ReferringPhysicianName = ""
    common.StudyDescription = "Synthetic CT"
    common.SeriesDescription = f"{series.kernel.value} {series.phase.value} {series.volume.geometry.spacing_mm[0]:g} mm"
    common.PatientName = f"Phantom^{patient.number:06d}"
    common.PatientID = patient_id(patient)
    common.PatientBirthDate = _birth_date(patient, series.study_date).strftime("%Y%m%d")
    common.PatientSex = patient.sex
    common.PatientAge = f"{patient.age:03d}Y"
    common.PatientPosition = "HFS"
    common.BodyPartExamined = "CHEST" if patient.dataset == "lung" else "ABDOMEN"
    common.StudyInstanceUID = _uid(patient, None, study)
    common.SeriesInstanceUID = _uid(patient, series, "series")
    common.FrameOfReferenceUID = _uid(patient, None, f"{study} frame")
    common.StudyID = str(series.study_number)
    common.SeriesNumber = series.series_number
    common.AcquisitionNumber = 1
    common.PositionReferenceIndicator = ""
    common.KVP = 120
    common.ScanOptions = "HELICAL MODE"
    common.ConvolutionKernel = {Kernel.SOFT: "SOFT30", Kernel.SHARP: "SHARP70"}[series.kernel]
    if series.phase is not Phase.NATIVE:
        common.ContrastBolusAgent = "SIMULATED"
    _describe_pixels(common, series)
    return common


def _describe_pixels(common: Dataset, series: PhantomSeries) -> None:
    geometry = series.volume.geometry
    common.SliceThickness = _decimal(geometry.spacing_mm[0])
    common.PixelSpacing = [_decimal(geometry.spacing_mm[1]), _decimal(geometry.spacing_mm[2])]
    common.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    common.Rows, common.Columns = geometry.shape[1], geometry.shape[2]
    common.SamplesPerPixel = 1
    common.PhotometricInterpretation = "MONOCHROME2"
    common.BitsAllocated, common.BitsStored, common.HighBit = 16, 12, 11
    common.PixelRepresentation = 0
    common.RescaleIntercept, common.RescaleSlope, common.RescaleType = LOWEST_HU, 1, "HU"
    centre, width = (-600, 1500) if series.kernel is Kernel.SHARP else (50, 400)
    common.WindowCenter, common.WindowWidth = centre, width


def _slice_dataset(
    common: Dataset, geometry: VolumeGeometry, voxels: NDArray[np.int16], index: int, uid: UID
) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.update(common)
    x, y, z = geometry.index_to_mm(np.array([index, 0, 0], dtype=np.float64))
    dataset.SOPInstanceUID = uid
    dataset.InstanceNumber = geometry.slice_number(index)
    dataset.ImagePositionPatient = [_decimal(x), _decimal(y), _decimal(z)]
    dataset.SliceLocation = _decimal(z)
    dataset.PixelData = (voxels.astype(np.int32) - LOWEST_HU).astype("<u2").tobytes()
    return dataset


def _decimal(value: float) -> float:
    """Return a number that a decimal string of 16 characters holds exactly enough."""
    return round(float(value), 6)


def _birth_date(patient: PhantomPatient, study_date: date) -> date:
    return study_date - timedelta(days=round((patient.age + 0.5) * 365.25))
