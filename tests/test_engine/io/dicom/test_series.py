import io
import shutil

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from lens_engine.io.series import ScanReport, read_volume, scan


def only_problem(report: ScanReport) -> str:
    assert not report.found
    (problem,) = report.problems
    return str(problem)


def test_a_missing_slice_is_refused_with_its_neighbours_and_the_spacing(tmp_path, write_dicom):
    paths = write_dicom(tmp_path)
    paths[2].unlink()
    message = only_problem(scan([tmp_path]))
    assert "1 slice is missing" in message
    assert paths[1].name in message
    assert paths[3].name in message
    assert "5.00 mm" in message
    assert "2.50 mm" in message


def test_a_duplicated_slice_is_refused_with_both_files(tmp_path, write_dicom):
    paths = write_dicom(tmp_path)
    shutil.copy(paths[4], tmp_path / "copy.dcm")
    message = only_problem(scan([tmp_path]))
    assert "1 position is occupied twice" in message
    assert "copy.dcm" in message
    assert paths[4].name in message


def test_a_tilted_gantry_is_refused_with_the_angle(tmp_path, write_dicom):
    def tilt(dataset, index):
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y + index * 2.5 * np.tan(np.radians(12)), z]

    write_dicom(tmp_path, tilt)
    assert "gantry tilt of about 12.0 degrees" in only_problem(scan([tmp_path]))


def test_one_turned_slice_is_refused_by_name(tmp_path, write_dicom):
    def turn(dataset, index):
        if index == 3:
            dataset.ImageOrientationPatient = [0.995, 0.0998, 0, -0.0998, 0.995, 0]

    paths = write_dicom(tmp_path, turn)
    message = only_problem(scan([tmp_path]))
    assert "orientation" in message
    assert paths[3].name in message


def test_rows_and_columns_that_are_not_perpendicular_are_refused(tmp_path, write_dicom):
    write_dicom(tmp_path, lambda dataset, index: setattr(dataset, "ImageOrientationPatient", [1, 0, 0, 0.6, 0.8, 0]))
    assert "not at right angles" in only_problem(scan([tmp_path]))


def test_one_slice_of_another_pixel_spacing_is_refused_by_name(tmp_path, write_dicom):
    def shrink(dataset, index):
        if index == 1:
            dataset.PixelSpacing = [0.5, 0.5]

    paths = write_dicom(tmp_path, shrink)
    message = only_problem(scan([tmp_path]))
    assert f"{paths[1].name} has (0.5, 0.5), most have (0.8, 0.7)" in message


def test_one_slice_of_another_size_is_refused_by_name(tmp_path, write_dicom):
    def crop(dataset, index):
        if index == 5:
            dataset.Rows, dataset.PixelData = 4, dataset.PixelData[: len(dataset.PixelData) // 2]

    paths = write_dicom(tmp_path, crop)
    assert f"{paths[5].name} has (4, 10), most have (8, 10)" in only_problem(scan([tmp_path]))


def test_uneven_slices_are_refused(tmp_path, write_dicom):
    def stretch(dataset, index):
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, z - 0.3 * index * (index > 2)]

    write_dicom(tmp_path, stretch)
    assert "not evenly spaced" in only_problem(scan([tmp_path]))


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_accepted(tmp_path, write_dicom):
    def round_position(dataset, index):
        dataset.ImagePositionPatient = [-35.5, -20.2, round(110.0 - 0.625 * index, 1)]

    write_dicom(tmp_path, round_position)
    (found,) = scan([tmp_path]).found
    assert found.geometry.spacing_mm[0] == pytest.approx(0.625, abs=0.02)
    read_volume(found.source)


def test_a_coronal_series_becomes_the_same_axial_volume(tmp_path, write_dicom, phantom):
    def coronal(dataset, index):
        j = index
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
        dataset.ImagePositionPatient = [-35.5, -20.25 + 0.8 * j, 110.0]
        dataset.PixelSpacing = [2.5, 0.7]
        dataset.Rows, dataset.Columns = 6, 10
        dataset.PixelData = (phantom.voxels[:, j].astype(int) + 1024).astype("<u2").tobytes()

    write_dicom(tmp_path, coronal)
    (found,) = scan([tmp_path]).found
    np.testing.assert_array_equal(read_volume(found.source).voxels, phantom.voxels[:, :6])


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_a_truncated_slice_is_named_and_its_series_refused(share, tmp_path, write_dicom):
    path = write_dicom(tmp_path)[5]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    message = only_problem(scan([tmp_path]))
    assert f"{path.name} is truncated" in message
    assert "complete DICOM file is needed" in message


def test_a_slice_that_lost_the_end_of_its_pixels_is_the_only_message(tmp_path, write_dicom):
    path = write_dicom(tmp_path)[5]
    path.write_bytes(path.read_bytes()[:-10])
    assert f"{path.name} is truncated or damaged: it has 150 of 160 bytes" in only_problem(scan([tmp_path]))


def test_a_slice_without_position_is_named(tmp_path, write_dicom):
    def forget(dataset, index):
        if index == 2:
            del dataset.ImagePositionPatient

    path = write_dicom(tmp_path, forget)[2]
    message = only_problem(scan([tmp_path]))
    assert path.name in message
    assert "ImagePositionPatient" in message


def test_a_colour_image_is_refused(tmp_path, write_dicom):
    def colour(dataset, index):
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"

    write_dicom(tmp_path, colour)
    assert "colour image with 3 values per pixel" in str(scan([tmp_path]).problems[0])


def test_a_series_without_rescale_is_read_with_a_note(tmp_path, write_dicom):
    def forget(dataset, index):
        del dataset.RescaleSlope, dataset.RescaleIntercept

    write_dicom(tmp_path, forget)
    (found,) = scan([tmp_path]).found
    assert "no rescale" in " ".join(found.notes)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_lossless_compressed_slices_are_the_same_volume(syntax, tmp_path, write_dicom, phantom):
    write_dicom(tmp_path, lambda dataset, index: dataset.compress(syntax))
    (found,) = scan([tmp_path]).found
    np.testing.assert_array_equal(read_volume(found.source).voxels, phantom.voxels)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_jpeg_lossless_and_jpeg_2000_slices_are_the_same_volume(compressor, tmp_path, write_dicom, phantom):
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetUseCompression(True)
    writer.SetCompressor(compressor)
    writer.SetFileName(str(tmp_path / "compressed"))

    def compress(dataset, index):
        writer.Execute(sitk.GetImageFromArray(dataset.pixel_array[None]))
        compressed = pydicom.dcmread(tmp_path / "compressed")
        dataset.file_meta.TransferSyntaxUID = compressed.file_meta.TransferSyntaxUID
        dataset["PixelData"] = compressed["PixelData"]

    paths = write_dicom(tmp_path / "ct", compress)
    assert pydicom.dcmread(paths[0]).file_meta.TransferSyntaxUID in {JPEGLosslessSV1, JPEG2000Lossless}
    (found,) = scan([tmp_path / "ct"]).found
    np.testing.assert_array_equal(read_volume(found.source).voxels, phantom.voxels)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_encodings_are_the_same_volume(syntax, tmp_path, write_dicom, phantom):
    write_dicom(tmp_path, lambda dataset, index: setattr(dataset.file_meta, "TransferSyntaxUID", syntax))
    (found,) = scan([tmp_path]).found
    np.testing.assert_array_equal(read_volume(found.source).voxels, phantom.voxels)


def test_baseline_jpeg_slices_are_nearly_the_same_volume(tmp_path, write_dicom, phantom):
    def compress(dataset, index):
        stored = (phantom.voxels[index].astype(int) + 1024) // 16
        stream = io.BytesIO()
        Image.fromarray(stored.astype(np.uint8)).save(stream, "JPEG", quality=100)
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.RescaleSlope = 7, "16"
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        dataset.PixelData = encapsulate([stream.getvalue()])
        dataset["PixelData"].VR = "OB"

    write_dicom(tmp_path, compress)
    (found,) = scan([tmp_path]).found
    assert np.abs(read_volume(found.source).voxels.astype(int) - phantom.voxels).max() <= 48


def test_a_compression_that_cannot_be_decoded_is_named(tmp_path, write_dicom):
    def film(dataset, index):
        dataset.file_meta.TransferSyntaxUID = MPEG4HP41
        dataset.PixelData = encapsulate([b"film" * 10])
        dataset["PixelData"].VR = "OB"

    write_dicom(tmp_path, film)
    message = only_problem(scan([tmp_path]))
    assert "cannot be decoded" in message
    assert "MPEG-4" in message


def test_a_truncated_compressed_slice_is_named(tmp_path, write_dicom):
    path = write_dicom(tmp_path, lambda dataset, index: dataset.compress(RLELossless))[2]
    path.write_bytes(path.read_bytes()[:-20])
    assert f"{path.name} is truncated or damaged: its compressed pixels end early" in only_problem(scan([tmp_path]))


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 1, 0), (3, 0, 5, 1, 4, 2)])
def test_frames_of_an_enhanced_ct_are_sorted_by_position(order, tmp_path, write_enhanced, phantom):
    write_enhanced(tmp_path / "enhanced.dcm", order)
    (found,) = scan([tmp_path]).found
    volume = read_volume(found.source)
    np.testing.assert_array_equal(volume.voxels, phantom.voxels)
    np.testing.assert_allclose(volume.geometry.origin_mm, phantom.geometry.origin_mm)


def test_single_frames_that_say_so_are_slices(tmp_path, write_dicom, phantom):
    write_dicom(tmp_path, lambda dataset, index: setattr(dataset, "NumberOfFrames", 1))
    np.testing.assert_array_equal(read_volume(scan([tmp_path]).found[0].source).voxels, phantom.voxels)


def test_an_enhanced_ct_with_a_frame_twice_is_refused_by_its_number(tmp_path, write_enhanced):
    write_enhanced(tmp_path / "enhanced.dcm", (0, 1, 2, 3, 3, 5))
    message = only_problem(scan([tmp_path]))
    assert "enhanced.dcm frame 4 and enhanced.dcm frame 5" in message


def test_an_enhanced_ct_without_frame_positions_is_refused(tmp_path, write_enhanced):
    path = write_enhanced(tmp_path / "enhanced.dcm")
    dataset = pydicom.dcmread(path)
    del dataset.PerFrameFunctionalGroupsSequence
    dataset.save_as(path)
    assert "does not say where its frames lie" in only_problem(scan([tmp_path]))
