"""Writes contours as a DICOM RT Structure Set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage


def write_rtstruct(
    path: Path, regions: Sequence[tuple[str, str, Sequence[np.ndarray]]], series_uid: str = "1.2.3.4"
) -> Path:
    """Write regions, each with its name, its type and its contours (points, 3) in mm."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = RTStructureSetStorage, "1.2.9"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = RTStructureSetStorage, "1.2.9", "RTSTRUCT"
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = series_uid
    study.RTReferencedSeriesSequence = [series]
    frame.RTReferencedStudySequence = [study]
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    dataset.StructureSetROISequence, dataset.ROIContourSequence, dataset.RTROIObservationsSequence = [], [], []
    for number, (name, kind, contours) in enumerate(regions, start=1):
        roi, drawn, observed = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        observed.ObservationNumber, observed.ReferencedROINumber, observed.RTROIInterpretedType = number, number, kind
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
            contour.ContourData = [f"{value:.6f}" for value in points.ravel()]
            drawn.ContourSequence.append(contour)
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
        dataset.RTROIObservationsSequence.append(observed)
    dataset.save_as(path, enforce_file_format=True)
    return path
