"""The real scans and annotations beside the repository, with the sizes, spacings and directions their README states."""

from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest

from lens_engine.io.annotations.annotation_file import read_annotations
from lens_engine.io.annotations.imported import KnownSeries, TestSetPart
from lens_engine.io.annotations.manual_test_set import (
    ManualSubVolume,
    import_manual_test_set,
    read_pickle,
    rows_from_boxes,
    write_pickle,
)
from lens_engine.io.series import FoundSeries, ScanReport, SeriesFormat, read_volume, scan

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def report(real_data: Path) -> ScanReport:
    return scan([real_data])


def series_below(report: ScanReport, folder: str) -> FoundSeries:
    (found,) = [series for series in report.found if folder in str(series.source.paths[0])]
    return found


def test_every_scan_is_found_and_the_rest_is_counted(report):
    formats = sorted(series.source.format for series in report.found)
    assert formats == [SeriesFormat.DICOM, SeriesFormat.DICOM, SeriesFormat.NIFTI, SeriesFormat.NIFTI]
    assert report.skipped == {"not an image of a scan": 4, "RTSTRUCT contours": 1, "label mask": 1}
    assert not report.problems


@pytest.mark.parametrize(
    ("folder", "size_xyz", "spacing_xyz_mm", "is_flipped_xyz"),
    [
        ("lung_ibsi_phantom/dicom", (204, 201, 60), (0.977, 0.977, 3.0), (False, False, True)),
        ("lung_ibsi_phantom/nifti", (204, 201, 60), (0.977, 0.977, 3.0), (False, False, True)),
        ("liver_crlm_1006", (512, 512, 51), (0.805, 0.805, 5.0), (False, False, True)),
        ("torso_nifti", (122, 101, 112), (3.0, 3.0, 3.0), (True, True, True)),
    ],
)
def test_sizes_spacings_and_directions_are_as_stated(folder, size_xyz, spacing_xyz_mm, is_flipped_xyz, report):
    found = series_below(report, folder)
    assert found.geometry.shape == size_xyz[::-1]
    np.testing.assert_allclose(found.geometry.spacing_mm, spacing_xyz_mm[::-1], atol=5e-4)
    assert found.geometry.source_flips == is_flipped_xyz[::-1]
    volume = read_volume(found.source)
    assert volume.geometry == found.geometry
    assert volume.voxels.min() >= -1024
    assert volume.voxels.max() > 1000


def test_dicom_and_nifti_of_the_lung_scan_are_the_same_volume(report):
    dicom = read_volume(series_below(report, "lung_ibsi_phantom/dicom").source)
    nifti = read_volume(series_below(report, "lung_ibsi_phantom/nifti").source)
    np.testing.assert_array_equal(dicom.voxels, nifti.voxels)
    np.testing.assert_allclose(dicom.geometry.origin_mm, nifti.geometry.origin_mm, atol=1e-3)
    np.testing.assert_allclose(dicom.geometry.spacing_mm, nifti.geometry.spacing_mm, atol=1e-6)


def test_contours_and_mask_of_the_lung_lesion_are_the_same_box(report, real_data):
    known = [
        KnownSeries(str(number), found.source.series_uid, found.geometry, found.source.paths[0].parent)
        for number, found in enumerate(report.found)
    ]
    folder = real_data / "lung_ibsi_phantom"
    (drawn,) = read_annotations(folder / "dicom" / "mask" / "DCM_RS_00060.dcm", known).lesions
    (masked,) = read_annotations(folder / "nifti" / "mask" / "mask.nii.gz", known).lesions
    assert drawn.box == masked.box
    assert drawn.slices == masked.slices
    assert report.found[int(drawn.series_name)].source.format is SeriesFormat.DICOM
    assert report.found[int(masked.series_name)].source.format is SeriesFormat.NIFTI


def test_the_torso_lies_where_nibabel_says(report):
    found = series_below(report, "torso_nifti")
    image = nibabel.load(found.source.paths[0])
    volume, values = read_volume(found.source), np.asarray(image.dataobj)
    for index in ((0, 0, 0), (121, 0, 50), (60, 100, 111), (33, 44, 55)):
        x, y, z = (image.affine @ [*index, 1])[:3]
        place = np.rint(volume.geometry.mm_to_index(np.asarray([-x, -y, z]))).astype(int)
        assert volume.voxels[tuple(place)] == max(values[index], -1024)


def test_the_liver_scan_agrees_with_highdicom(report):
    found = series_below(report, "liver_crlm_1006")
    datasets = [pydicom.dcmread(path) for path in found.source.paths]
    other = highdicom.get_volume_from_series(datasets).to_patient_orientation("FPL")
    volume = read_volume(found.source)
    np.testing.assert_array_equal(volume.voxels, np.maximum(other.array, -1024))
    np.testing.assert_allclose(volume.geometry.origin_mm, other.position, atol=1e-3)


@pytest.fixture(scope="module")
def published(real_data: Path) -> Path:
    return real_data / "deeplesion_manual" / "DeepLesion_manual_1K_test_release.pkl"


def test_the_published_test_set_has_the_stated_counts(published):
    sub_volumes = read_pickle(published)
    for part, volumes, boxes, empty in ((TestSetPart.VAL, 200, 1292, 0), (TestSetPart.TEST, 800, 4155, 31)):
        rows = [item.rows for item in sub_volumes if item.part is part]
        assert (len(rows), sum(map(len, rows)), sum(not len(row) for row in rows)) == (volumes, boxes, empty)


def test_what_was_imported_from_the_published_test_set_is_exported_equal_to_it(published, tmp_path):
    imported = import_manual_test_set(published)
    boxes: dict[str, list[tuple[float, ...]]] = {item.name: [] for item in imported.sub_volumes}
    first = {item.name: 1 for item in imported.sub_volumes}
    for lesion in imported.lesions:
        boxes[lesion.series_name].append(lesion.box)
        first[lesion.series_name] = lesion.first_slice_number
    exported = [
        ManualSubVolume(item.part, item.name, rows_from_boxes(np.asarray(boxes[item.name]), first[item.name]))
        for item in imported.sub_volumes
        if item.part is not None
    ]
    write_pickle(tmp_path / "export.pkl", exported)
    original, again = read_pickle(published), read_pickle(tmp_path / "export.pkl")
    assert [(item.part, item.name) for item in original] == [(item.part, item.name) for item in again]
    for one, other in zip(original, again, strict=True):
        np.testing.assert_array_equal(one.rows, other.rows, strict=True)
