import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.quaternions import quat2mat

from lens_engine.errors import SeriesError
from lens_engine.io.images.image_files import read_image
from lens_engine.io.images.nifti_header import read_nifti_header
from lens_engine.io.images.stored_voxels import stored_planes
from lens_engine.io.limits import MAX_REST_BYTES

NAMES = ["scan.mha", "scan.mhd", "scan.nrrd", "scan.nhdr"]


@pytest.mark.parametrize("image_class", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_both_versions_are_read_plane_by_plane_with_their_scaling(image_class, suffix, tmp_path):
    image = image_class(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    path = tmp_path / f"scan{suffix}"
    image.to_filename(path)
    planes = list(stored_planes(read_nifti_header(path).voxels))
    assert [plane.shape for plane in planes] == [(3, 2)] * 4
    np.testing.assert_array_equal(np.stack(planes), nibabel.load(path).get_fdata().transpose())


CODES = st.integers(0, 3)
QUATERNION_PARTS = st.lists(st.integers(-15, 15).map(lambda part: part / 100), min_size=3, max_size=3)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CODES, CODES, QUATERNION_PARTS, QUATERNION_PARTS, st.sampled_from(["mm", "unknown", "meter"]), st.booleans())
def test_a_nifti_lies_where_itk_says(tmp_path, of_quaternion, of_matrix, first, second, units, is_mirrored):
    header = nibabel.Nifti1Header()
    header.set_data_shape((4, 5, 6))
    header.set_data_dtype(np.int16)
    header.set_xyzt_units(units)
    affines = []
    for parts in (first, second):
        affine = np.eye(4)
        affine[:3, :3] = quat2mat([np.sqrt(1 - np.dot(parts, parts)), *parts]) * [
            0.7,
            0.8,
            -2.5 if is_mirrored else 2.5,
        ]
        affine[:3, 3] = [10, -20, 300]
        affines.append(affine)
    header.set_qform(affines[0], of_quaternion)
    header.set_sform(affines[1], of_matrix)
    header["pixdim"][1:4] = (0.7, 0.8, 2.5)
    header["magic"], header["vox_offset"] = b"n+1", 352
    path = tmp_path / "scan.nii"
    path.write_bytes(header.binaryblock + bytes(4 + 240))
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NiftiImageIO")
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    grid = read_nifti_header(path).grid
    np.testing.assert_allclose(grid.spacing_mm, reader.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(grid.origin_mm, reader.GetOrigin(), rtol=1e-6)
    np.testing.assert_allclose(np.asarray(grid.directions).T.ravel(), reader.GetDirection(), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("number_type", [np.int16, np.uint8, np.int32, np.float32, np.float64, np.uint16, np.int64])
def test_voxels_and_their_place_are_those_that_itk_reads(number_type, is_packed, name, tmp_path):
    image = sitk.GetImageFromArray(np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(number_type))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-10.5, 20.25, 300.0))
    image.SetDirection((0.0, -1.0, 0.0, 0.8, 0.0, 0.6, -0.6, 0.0, 0.8))
    image = sitk.PermuteAxes(image, (1, 0, 2))
    image.SetDirection((1.0, 0.0, 0.0, 0.0, 0.98, -0.19899748742132398, 0.0, 0.19899748742132398, 0.98))
    sitk.WriteImage(image, str(tmp_path / name), useCompression=is_packed)
    values, geometry = read_image(tmp_path / name)
    np.testing.assert_array_equal(values, sitk.GetArrayFromImage(image))
    for index in [(0, 0, 0), (3, 4, 2), (1, 0, 2)]:
        stored = np.zeros(values.shape, bool)
        stored[index[::-1]] = True
        place = np.argwhere(geometry.to_canonical(stored))[0]
        np.testing.assert_allclose(
            geometry.index_to_mm(place), image.TransformIndexToPhysicalPoint(index), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize(("space", "signs"), [("RAS", (-1, -1, 1)), ("left-anterior-superior", (1, -1, 1))])
def test_other_spaces_of_nrrd_are_turned(space, signs, tmp_path):
    header = (
        f"NRRD0004\ntype: short\ndimension: 3\nspace: {space}\nsizes: 2 2 2\nencoding: raw\nendian: little\n"
        "space directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (10,20,30)\n\n"
    )
    (tmp_path / "scan.nrrd").write_bytes(header.encode() + bytes(16))
    values, geometry = read_image(tmp_path / "scan.nrrd")
    stored = np.zeros(values.shape, bool)
    stored[0, 0, 0] = True
    place = np.argwhere(geometry.to_canonical(stored))[0]
    np.testing.assert_allclose(geometry.index_to_mm(place), np.asarray([10, 20, 30]) * signs)
    assert geometry.spacing_mm == (3.0, 2.0, 1.0)


def test_what_goes_on_behind_the_announced_voxels_is_not_unpacked(tmp_path, write_image):
    content = write_image(tmp_path / "scan.nii").read_bytes()
    with gzip.open(tmp_path / "scan.nii.gz", "wb", compresslevel=1) as packed:
        packed.write(content + bytes(MAX_REST_BYTES * 2))
    with pytest.raises(SeriesError, match=r"scan\.nii\.gz cannot be read"):
        read_image(tmp_path / "scan.nii.gz")
