import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import RLELossless

from lens_engine.io.dicom.headers import CtHeader, read_header
from lens_engine.io.dicom.pixels import read_plain_pixels
from lens_engine.io.series import read_volume, scan


def header_of(path) -> CtHeader:
    header = read_header(path)
    assert isinstance(header, CtHeader)
    return header


def as_signed(dataset):
    dataset.PixelRepresentation = 1
    dataset.PixelData = (dataset.pixel_array.astype(np.int32) - 1500).astype("<i2").tobytes()


def as_12_bits_with_an_overlay(dataset):
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.PixelData = (dataset.pixel_array % 4096 | 0xA000).astype("<u2").tobytes()


def as_12_bits_signed(dataset):
    as_signed(dataset)
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.PixelData = (np.frombuffer(dataset.PixelData, "<i2") % 2048 - 1024).astype("<i2").tobytes()


def as_large_unsigned(dataset):
    dataset.PixelData = (dataset.pixel_array + 40000).astype("<u2").tobytes()
    dataset.RescaleIntercept = "-41024"


def as_unsigned_beyond_int16(dataset):
    dataset.PixelData = (dataset.pixel_array + 40000).astype("<u2").tobytes()


def as_fractions(dataset):
    dataset.RescaleSlope, dataset.RescaleIntercept = "0.37", "-1024.25"


def as_fractional_intercept(dataset):
    dataset.RescaleIntercept = "-1024.75"


def as_without_rescale(dataset):
    del dataset.RescaleSlope, dataset.RescaleIntercept


PLAIN = [
    as_signed, as_12_bits_with_an_overlay, as_12_bits_signed, as_large_unsigned, as_unsigned_beyond_int16,
    as_fractions, as_fractional_intercept, as_without_rescale,
]  # fmt: skip


@pytest.mark.parametrize("change", PLAIN)
def test_plain_pixels_are_what_gdcm_decodes(change, tmp_path, write_dicom):
    for path in write_dicom(tmp_path, lambda dataset, index: change(dataset)):
        header = header_of(path)
        assert header.pixels is not None
        values = read_plain_pixels(path, header.pixels, header.planes[0].size)
        decoded = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0]
        np.testing.assert_allclose(values, decoded, rtol=1e-12)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PhotometricInterpretation", "MONOCHROME1"), ("HighBit", 14), ("RescaleSlope", "0"), ("BitsAllocated", 32)],
)
def test_unusual_pixels_are_left_to_the_decoder(keyword, value, tmp_path, write_dicom):
    def change(dataset, index):
        setattr(dataset, keyword, value)
        dataset.PixelData = dataset.PixelData + bytes(len(dataset.PixelData))

    assert header_of(write_dicom(tmp_path, change)[0]).pixels is None


def test_a_series_with_one_compressed_slice_is_the_same_volume(tmp_path, write_dicom, phantom):
    paths = write_dicom(tmp_path)
    dataset = pydicom.dcmread(paths[3])
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(paths[3])
    assert [header_of(path).pixels is None for path in paths].count(True) == 1
    np.testing.assert_array_equal(read_volume(scan([tmp_path]).found[0].source).voxels, phantom.voxels)


def test_a_slope_of_its_own_in_every_slice_is_applied(tmp_path, write_dicom, phantom):
    def scale(dataset, index):
        hounsfield = phantom.voxels[index].astype(np.int32)
        dataset.RescaleSlope, dataset.RescaleIntercept = ("0.5", "-1024") if index % 2 else ("1", "-1024")
        dataset.PixelData = ((hounsfield + 1024) * (2 if index % 2 else 1)).astype("<u2").tobytes()

    write_dicom(tmp_path, scale)
    np.testing.assert_array_equal(read_volume(scan([tmp_path]).found[0].source).voxels, phantom.voxels)


def test_a_file_that_became_shorter_meanwhile_is_an_error(tmp_path, write_dicom):
    path = write_dicom(tmp_path)[0]
    header = header_of(path)
    path.write_bytes(path.read_bytes()[:-10])
    assert header.pixels is not None
    with pytest.raises(ValueError, match="reshape"):
        read_plain_pixels(path, header.pixels, header.planes[0].size)
