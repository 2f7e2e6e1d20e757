"""Headers that are well formed and say what no scan can be, each refused in the words of what is wrong."""

import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from lens_engine.io.series import scan

NIFTI_SPACING, NIFTI_SCALING = 80, 112
ABSENT = {"qform": (None, 0), "sform": (None, 0)}


def only_problem(folder: Path) -> str:
    report = scan([folder])
    assert not report.found
    (problem,) = report.problems
    return str(problem)


def save_nifti(path: Path, values: np.ndarray, *, is_placed: bool = True) -> Path:
    image = nibabel.Nifti1Image(values, np.diag([0.7, 0.8, 2.5, 1]))
    if not is_placed:
        image.set_qform(*ABSENT["qform"])
        image.set_sform(*ABSENT["sform"])
    nibabel.save(image, path)
    return path


def put(path: Path, place: int, *numbers: float) -> None:
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{len(numbers)}f", content, place, *numbers)
    path.write_bytes(content)


@pytest.mark.parametrize("is_placed", [True, False])
@pytest.mark.parametrize("spacing", [(0, 0, 0), (0.7, 0.8, 0), (0.7, -0.8, 2.5), (0.7, np.nan, 2.5), (np.inf, 1, 1)])
def test_a_nifti_spacing_that_is_no_distance_is_refused_with_its_numbers(spacing, is_placed, tmp_path, phantom):
    path = save_nifti(tmp_path / "scan.nii", phantom.voxels, is_placed=is_placed)
    put(path, NIFTI_SPACING, *spacing)
    message = only_problem(tmp_path)
    assert f"a voxel spacing of {', '.join(f'{value:g}' for value in spacing)} mm" in message
    assert "tilted" not in message


@pytest.mark.parametrize("spacing", ["1 -1 2", "1 0 2", "1 nan 2"])
def test_a_metaimage_spacing_that_is_no_distance_is_refused_with_its_numbers(spacing, tmp_path, write_image):
    path = write_image(tmp_path / "scan.mhd")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(f"ElementSpacing = {spacing}" if "Spacing" in line else line for line in lines) + "\n")
    assert f"a voxel spacing of {spacing.replace(' ', ', ')} mm" in only_problem(tmp_path)


@pytest.mark.parametrize("line", ["spacings: 1 -1 2", "space directions: (1,0,0) (0,0,0) (0,0,2)"])
def test_an_nrrd_spacing_that_is_no_distance_is_refused(line, tmp_path):
    header = f"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: raw\nendian: little\n{line}\n\n"
    (tmp_path / "scan.nrrd").write_bytes(header.encode() + bytes(16))
    assert "gives a voxel spacing of 1, " in only_problem(tmp_path)


@pytest.mark.parametrize("number", [0, -0.7, "nan"])
def test_a_dicom_spacing_that_is_no_distance_is_refused(number, tmp_path, write_dicom):
    write_dicom(tmp_path, lambda dataset, _: dataset.add_new("PixelSpacing", "DS", [str(number), "0.7"]))
    assert f"a pixel spacing of {number}, 0.7 mm" in only_problem(tmp_path)


def test_a_dicom_slice_that_lies_nowhere_is_refused_by_name(tmp_path, write_dicom):
    def edit(dataset, index):
        if index == 3:
            dataset.add_new("ImagePositionPatient", "DS", ["0", "0", "nan"])

    write_dicom(tmp_path, edit)
    assert "_3.dcm lies at (0.0, 0.0, nan) mm" in only_problem(tmp_path)


@pytest.mark.parametrize(("slope", "intercept"), [("0", "-1024"), ("nan", "0"), ("1", "inf"), ("-inf", "0")])
def test_dicom_values_without_a_meaning_are_refused_once(
    slope: str, intercept: str, tmp_path: Path, write_dicom: Callable[..., list[Path]]
) -> None:
    def edit(dataset, _):
        dataset.add_new("RescaleSlope", "DS", slope)
        dataset.add_new("RescaleIntercept", "DS", intercept)

    write_dicom(tmp_path, edit)
    assert f"the rescale slope {slope} and the intercept {intercept}" in only_problem(tmp_path)


def test_an_infinite_intercept_of_a_nifti_is_refused(tmp_path, phantom):
    put(save_nifti(tmp_path / "scan.nii", phantom.voxels), NIFTI_SCALING, 1, np.inf)
    assert "scales its values by 1 and adds inf" in only_problem(tmp_path)


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.mha"])
def test_a_scan_without_any_number_is_refused(name, tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.full((4, 5, 6), np.nan, np.float32)), str(tmp_path / name))
    assert "None of the voxels is a number" in only_problem(tmp_path)


@pytest.mark.parametrize("name", ["slice.nii", "slice.mha", "slice.nrrd"])
def test_a_single_image_is_not_called_a_series_in_time(name, tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5), np.int16)), str(tmp_path / name))
    message = only_problem(tmp_path)
    assert f"{name} is a single image: it has 2 dimensions of 5 x 4 voxels" in message
    assert "4D" not in message


@pytest.mark.parametrize("number", ["nan", "inf", "1e400"])
def test_a_volume_that_lies_nowhere_is_refused(number, tmp_path, write_image):
    path = write_image(tmp_path / "scan.mhd")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(f"Offset = 0 {number} 0" if "Offset" in line else line for line in lines) + "\n")
    assert "Three finite numbers are needed" in only_problem(tmp_path)


def test_more_dimensions_than_there_are_is_an_error_and_not_the_end_of_the_process(tmp_path, write_image):
    path = write_image(tmp_path / "scan.mhd")
    path.write_text(path.read_text().replace("NDims = 3", "NDims = 100"))
    assert "scan.mhd cannot be read as metaimage" in only_problem(tmp_path)
