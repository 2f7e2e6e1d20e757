import nibabel
import numpy as np
import pytest

from lens_engine.io.images.nifti_voxels import nifti_planes


@pytest.mark.parametrize("image_class", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_both_versions_are_read_plane_by_plane_with_their_scaling(image_class, suffix, tmp_path):
    image = image_class(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    path = tmp_path / f"scan{suffix}"
    image.to_filename(path)
    planes = list(nifti_planes(path, (4, 3, 2)))
    assert [plane.shape for plane in planes] == [(3, 2)] * 4
    np.testing.assert_array_equal(np.stack(planes), nibabel.load(path).get_fdata().transpose())


@pytest.mark.parametrize("shape", [(4, 3, 3), (1, 3, 4)])
def test_a_header_of_another_shape_is_an_error(shape, tmp_path):
    nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), np.eye(4)).to_filename(tmp_path / "scan.nii")
    with pytest.raises(ValueError, match="no header of"):
        list(nifti_planes(tmp_path / "scan.nii", shape))
