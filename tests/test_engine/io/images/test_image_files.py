import gzip
import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lens_engine.errors import SeriesError
from lens_engine.io.images.image_files import is_label_image, read_image, read_image_geometry, read_stored_values
from lens_engine.io.series import ScanReport, read_volume, scan
from lens_engine.volume import Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def only_problem(report: ScanReport) -> str:
    assert not report.found
    (problem,) = report.problems
    return str(problem)


def save_nifti(phantom: Volume, path: Path, order: tuple[int, ...], flips: tuple[bool, ...]) -> None:
    """Write the phantom by nibabel, its axes permuted and flipped, with the RAS affine that keeps it in its place."""
    geometry = phantom.geometry
    steps = np.asarray(geometry.directions) * np.asarray(geometry.spacing_mm)[:, None]
    affine = np.eye(4)
    affine[:3, :3] = steps[list(order)].T
    affine[:3, 3] = geometry.origin_mm
    voxels = phantom.voxels.transpose(order)
    for axis in np.flatnonzero(flips):
        affine[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
        affine[:3, axis] *= -1
        voxels = np.flip(voxels, axis)
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(voxels), LPS_TO_RAS @ affine), path)


@settings(max_examples=48, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
def test_a_permuted_and_flipped_nifti_is_the_same_volume(tmp_path, phantom, order, flips):
    save_nifti(phantom, tmp_path / "scan.nii.gz", tuple(order), flips)
    (found,) = scan([tmp_path]).found
    volume = read_volume(found.source)
    np.testing.assert_array_equal(volume.voxels, phantom.voxels)
    np.testing.assert_allclose(volume.geometry.spacing_mm, phantom.geometry.spacing_mm, rtol=1e-6)
    np.testing.assert_allclose(volume.geometry.origin_mm, phantom.geometry.origin_mm, atol=1e-4)


def test_voxels_lie_where_nibabel_says(tmp_path, phantom):
    save_nifti(phantom, tmp_path / "scan.nii.gz", (2, 0, 1), (True, False, True))
    image = nibabel.load(tmp_path / "scan.nii.gz")
    volume = read_volume(scan([tmp_path]).found[0].source)
    values = np.asarray(image.dataobj)
    for index in itertools.product(*[(0, count - 1) for count in values.shape]):
        lps_mm = (LPS_TO_RAS @ image.affine @ [*index, 1])[:3]
        place = np.rint(volume.geometry.mm_to_index(lps_mm)).astype(int)
        assert volume.voxels[tuple(place)] == values[index]


def test_nifti_scaling_is_applied(tmp_path, phantom):
    image = nibabel.Nifti1Image((phantom.voxels.astype(np.int32) + 1024).astype(np.uint16), np.eye(4))
    image.header.set_slope_inter(2, -2048)
    image.to_filename(tmp_path / "scan.nii.gz")
    voxels = read_volume(scan([tmp_path]).found[0].source).voxels
    assert (voxels.min(), voxels.max()) == (-1024, 2 * phantom.voxels.max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int16])
def test_every_number_type_gives_the_same_hu(dtype, tmp_path, phantom):
    sitk.WriteImage(sitk.GetImageFromArray(phantom.voxels.astype(dtype)), str(tmp_path / "scan.mha"))
    volume = read_volume(scan([tmp_path]).found[0].source)
    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels, phantom.voxels[::-1])


def test_voxels_that_are_not_a_number_become_air_with_a_note(tmp_path, phantom):
    values = phantom.voxels.astype(np.float32)
    values[2, 3, 4] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "scan.mha"))
    (found,) = scan([tmp_path]).found
    assert "1 voxels are not a number" in found.notes[0]
    assert read_volume(found.source).voxels[3, 3, 4] == -1024


def test_a_4d_file_is_refused_with_its_size(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 3), np.int16), np.eye(4)), tmp_path / "dynamic.nii.gz")
    assert "dynamic.nii.gz has 4 dimensions of 4 x 5 x 6 x 3 voxels" in only_problem(scan([tmp_path]))


def test_a_4d_file_with_one_volume_is_read(tmp_path, phantom):
    nibabel.save(nibabel.Nifti1Image(phantom.voxels[..., None], np.eye(4)), tmp_path / "one.nii.gz")
    (found,) = scan([tmp_path]).found
    assert sorted(read_volume(found.source).voxels.shape) == sorted(phantom.voxels.shape)


def test_a_2d_file_is_refused(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5), np.int16)), str(tmp_path / "slice.mha"))
    assert "2 dimensions" in only_problem(scan([tmp_path]))


def test_an_rgb_file_is_refused(tmp_path):
    image = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    sitk.WriteImage(image, str(tmp_path / "overlay.nrrd"))
    assert "overlay.nrrd has 3 values per voxel" in only_problem(scan([tmp_path]))


def test_a_sheared_nifti_is_refused_as_tilted(tmp_path, phantom):
    affine = np.diag([0.7, 0.8, 2.5, 1])
    affine[1, 2] = 0.6
    image = nibabel.Nifti1Image(phantom.voxels, affine)
    image.set_qform(None, code=0)
    image.set_sform(affine, code=1)
    nibabel.save(image, tmp_path / "tilted.nii.gz")
    assert "tilted" in only_problem(scan([tmp_path]))


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii", "scan.mha", "scan.nrrd"])
def test_a_truncated_file_is_named(name, tmp_path, write_image):
    path = write_image(tmp_path / name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    message = only_problem(scan([tmp_path]))
    assert f"{name} cannot be read" in message
    assert "incomplete" in message


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii"])
def test_a_nifti_that_lost_any_part_of_its_end_is_refused(name, keep, tmp_path, write_image):
    path = write_image(tmp_path / name)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    assert f"{name} cannot be read" in only_problem(scan([tmp_path]))


def test_a_nifti_packed_in_two_gzip_parts_is_read(tmp_path, write_image, phantom):
    content = write_image(tmp_path / "scan.nii").read_bytes()
    (tmp_path / "scan.nii").unlink()
    (tmp_path / "scan.nii.gz").write_bytes(gzip.compress(content[:500]) + gzip.compress(content[500:]))
    np.testing.assert_array_equal(read_volume(scan([tmp_path]).found[0].source).voxels, phantom.voxels)


def test_truncated_voxels_beside_a_header_are_refused(tmp_path, write_image):
    write_image(tmp_path / "scan.mhd")
    (tmp_path / "scan.raw").write_bytes((tmp_path / "scan.raw").read_bytes()[:-8])
    assert "scan.mhd cannot be read" in only_problem(scan([tmp_path]))


def test_a_header_without_its_voxels_is_named(tmp_path, write_image):
    write_image(tmp_path / "scan.mhd")
    (tmp_path / "scan.raw").unlink()
    assert "the file with its voxels is missing" in only_problem(scan([tmp_path]))


def test_a_file_that_only_has_the_name_of_an_image_is_named(tmp_path):
    (tmp_path / "fake.nii.gz").write_bytes(b"not a scan")
    assert "fake.nii.gz cannot be read as nifti" in only_problem(scan([tmp_path]))


def test_unscaled_stored_values_are_a_scan_with_a_warning_not_a_mask(phantom):
    assert not is_label_image(np.arange(4096, dtype=np.uint16).reshape(16, 16, 16))
    assert not is_label_image(phantom.voxels)
    assert is_label_image((phantom.voxels > 0).astype(np.int16))
    assert is_label_image(np.arange(27, dtype=np.float64).reshape(3, 3, 3))


IMAGE_NAMES = ["scan.nii", "scan.nii.gz", "scan.mha", "scan.mhd", "scan.nrrd"]


@pytest.mark.parametrize("name", IMAGE_NAMES)
def test_the_header_alone_gives_the_geometry_of_the_whole(name, tmp_path, write_image):
    path = write_image(tmp_path / name)
    values, geometry = read_image(path)
    assert read_image_geometry(path) == geometry
    np.testing.assert_array_equal(read_stored_values(path), values)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.mha", "scan.mhd"])
def test_a_file_that_is_cut_off_is_noticed_by_its_header_and_length(name, tmp_path, write_image):
    path = write_image(tmp_path / name)
    data = path.with_suffix(".raw") if name.endswith(".mhd") else path
    data.write_bytes(data.read_bytes()[:-20])
    with pytest.raises(SeriesError, match="damaged, incomplete"):
        read_image_geometry(path)


def test_a_metaimage_whose_voxels_are_gone_is_noticed_by_its_header(tmp_path, write_image):
    path = write_image(tmp_path / "scan.mhd")
    path.with_suffix(".raw").unlink()
    with pytest.raises(SeriesError, match="the file with its voxels is missing"):
        read_image_geometry(path)


def test_compressed_voxels_of_a_metaimage_are_trusted_until_they_are_read(tmp_path, phantom):
    path = tmp_path / "scan.mhd"
    sitk.WriteImage(sitk.GetImageFromArray(phantom.voxels), str(path), useCompression=True)
    assert read_image_geometry(path).shape == phantom.voxels.shape


def test_a_packed_file_is_not_confused_with_an_unpacked_one_beside_it(tmp_path, phantom, write_image):
    other = Volume(phantom.voxels[::-1].copy(), phantom.geometry)
    write_image(tmp_path / "scan.nii", other)
    write_image(tmp_path / "scan.nii.gz")
    found = {series.source.paths[0].name: read_volume(series.source) for series in scan([tmp_path]).found}
    np.testing.assert_array_equal(found["scan.nii.gz"].voxels, phantom.voxels)
    np.testing.assert_array_equal(found["scan.nii"].voxels, other.voxels)


@pytest.mark.parametrize("number_type", ["<i2", ">i2", "<i4", ">f4", "<f8", "<i8", ">u2", "u1"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_of_every_number_type_and_byte_order_is_read(number_type, suffix, tmp_path, phantom):
    values = (phantom.voxels // 16 + 64 if "u" in number_type else phantom.voxels).astype(number_type)
    header = nibabel.Nifti1Header(endianness=">" if number_type[0] == ">" else "<")
    header.set_data_dtype(number_type)
    nibabel.Nifti1Image(values, np.eye(4), header).to_filename(tmp_path / f"scan{suffix}")
    np.testing.assert_array_equal(read_stored_values(tmp_path / f"scan{suffix}"), values.transpose())


def test_a_packed_nifti_with_one_changed_byte_is_refused(tmp_path, write_image):
    path = write_image(tmp_path / "scan.nii.gz")
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # of the checksum
    path.write_bytes(content)
    assert "scan.nii.gz cannot be read" in only_problem(scan([tmp_path]))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_packed_nifti_with_a_flipped_bit_is_refused(share, tmp_path, write_image):
    path = write_image(tmp_path / "scan.nii.gz")
    content = bytearray(path.read_bytes())
    content[round(share * len(content))] ^= 0x10
    path.write_bytes(content)
    assert "scan.nii.gz cannot be read" in only_problem(scan([tmp_path]))


def test_a_packed_nifti_filled_up_with_zeros_is_read(tmp_path, write_image, phantom):
    path = write_image(tmp_path / "scan.nii.gz")
    path.write_bytes(path.read_bytes() + bytes(100_000))
    np.testing.assert_array_equal(read_volume(scan([tmp_path]).found[0].source).voxels, phantom.voxels)


def test_a_nifti_whose_voxels_begin_late_is_read(tmp_path, phantom):
    image = nibabel.Nifti1Image(phantom.voxels, np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 5000))
    image.to_filename(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(read_stored_values(tmp_path / "scan.nii.gz"), phantom.voxels.transpose())
