import pydicom
import pytest

from lens_engine.io.dicom.values import HeaderValues

KEYWORDS = [
    "SOPClassUID", "Modality", "ImageType", "PatientID", "StudyDate", "SeriesDescription", "Rows", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept",
]  # fmt: skip


def test_values_are_those_of_pydicom_in_every_slice(tmp_path, write_dicom):
    def vary(dataset, index):
        dataset.RescaleIntercept, dataset.SeriesDescription = str(-1024 - index), f"Schädel {index}"
        dataset.SpecificCharacterSet = "ISO_IR 192" if index % 2 else "ISO_IR 100"

    for path in write_dicom(tmp_path, vary):
        values, dataset = HeaderValues(pydicom.dcmread(path)), pydicom.dcmread(path)
        assert [values.get(keyword) for keyword in KEYWORDS] == [dataset.get(keyword) for keyword in KEYWORDS]
        assert values.file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID


def test_a_value_that_is_missing_is_named_or_replaced(tmp_path, write_dicom):
    values = HeaderValues(pydicom.dcmread(write_dicom(tmp_path)[0]))
    assert "NumberOfFrames" not in values
    assert values.get("NumberOfFrames", 1) == 1
    with pytest.raises(AttributeError) as missing:
        _ = values.NumberOfFrames
    assert missing.value.name == "NumberOfFrames"


def test_a_value_that_slices_share_is_converted_once(tmp_path, write_dicom):
    first, second = (HeaderValues(pydicom.dcmread(path)) for path in write_dicom(tmp_path)[:2])
    assert first.ImageType is second.ImageType
    assert first.ImagePositionPatient != second.ImagePositionPatient
