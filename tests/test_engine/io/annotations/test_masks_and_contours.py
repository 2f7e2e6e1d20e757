import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from support.files.rtstruct_file import write_rtstruct

from lens_engine.errors import AnnotationFileError
from lens_engine.findings import box_from_slices
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.annotations.annotation_file import is_same_grid, read_annotations
from lens_engine.io.annotations.imported import AnnotationFormat, KnownSeries
from lens_engine.io.annotations.instance_mask import lesions_of_labels
from lens_engine.io.annotations.rtstruct import Region, rasterise

GEOMETRY = VolumeGeometry((6, 8, 10), spacing_mm=(2.5, 0.8, 0.7), origin_mm=(-35.5, -20.25, 110.0))
SERIES = KnownSeries("chest", "1.2.3.4", GEOMETRY)


@pytest.fixture
def labels():
    """Two lesions (7 and 3) that touch, and 3 has a second, separate part."""
    values = np.zeros(GEOMETRY.shape, np.uint8)
    values[1:3, 2:5, 3:6] = 7
    values[1, 3, 6] = 7
    values[3:5, 2:4, 3:5] = 3
    values[5, 7, 9] = 3
    return values


def write_mask(values, path, geometry=GEOMETRY):
    image = sitk.GetImageFromArray(values[::-1])
    image.SetSpacing(geometry.spacing_mm[::-1])
    image.SetOrigin([float(v) for v in geometry.index_to_mm(np.asarray([geometry.shape[0] - 1, 0, 0]))])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nrrd", "mask.mha"])
def test_every_label_is_a_lesion_with_its_cross_sections(name, labels, tmp_path):
    imported = read_annotations(write_mask(labels, tmp_path / name), [SERIES])
    assert imported.format is AnnotationFormat.INSTANCE_MASK
    assert [lesion.box for lesion in imported.lesions] == [(3, 2, 3, 10, 8, 6), (3, 2, 1, 7, 5, 3)]
    assert [lesion.series_name for lesion in imported.lesions] == ["chest", "chest"]
    assert [item.box for item in imported.lesions[1].slices] == [(3, 2, 7, 5), (3, 2, 6, 5)]
    assert [item.slice_index for item in imported.lesions[1].slices] == [1, 2]


def test_a_binary_mask_is_split_into_parts_that_do_not_touch(labels, tmp_path):
    imported = read_annotations(write_mask((labels > 0).astype(np.uint8) * 255, tmp_path / "mask.nii.gz"), [SERIES])
    assert sorted(lesion.box for lesion in imported.lesions) == [(3, 2, 1, 7, 5, 5), (9, 7, 5, 10, 8, 6)]


def test_parts_that_touch_at_a_corner_are_one_lesion():
    values = np.zeros((2, 2, 2), np.uint8)
    values[0, 0, 0] = values[1, 1, 1] = 1
    assert len(lesions_of_labels(values)) == 1


def test_an_empty_mask_has_no_lesion_but_names_its_series(tmp_path):
    imported = read_annotations(write_mask(np.zeros(GEOMETRY.shape, np.uint8), tmp_path / "mask.nii.gz"), [SERIES])
    assert imported.lesions == ()
    assert imported.sub_volumes[0].name == "chest"


def test_a_scan_given_as_a_mask_is_refused(tmp_path, write_image):
    with pytest.raises(AnnotationFileError, match="like a scan"):
        read_annotations(write_image(tmp_path / "scan.nii.gz"), [SERIES])


def test_a_mask_on_another_grid_is_refused_with_its_grid(labels, tmp_path):
    path = write_mask(labels[:, :, :9], tmp_path / "mask.nii.gz")
    with pytest.raises(AnnotationFileError, match=r"grid of 6 x 8 x 9 voxels \(z, y, x\) at 2\.500, 0\.800, 0\.700 mm"):
        read_annotations(path, [SERIES])


def test_two_series_on_the_grid_of_a_mask_are_told_apart_by_folder_name_or_choice(labels, tmp_path):
    mask = write_mask(labels, tmp_path / "a" / "mask" / "mask.nii.gz")
    near = KnownSeries("near", None, GEOMETRY, tmp_path / "a" / "image")
    far = KnownSeries("far", None, GEOMETRY, tmp_path / "b")
    twin = KnownSeries("twin", None, GEOMETRY, tmp_path / "a" / "image")
    assert read_annotations(mask, [far, near]).lesions[0].series_name == "near"
    assert read_annotations(mask, [far, near], series_name="far").lesions[0].series_name == "far"
    with pytest.raises(AnnotationFileError, match="fits 2 series: near, twin"):
        read_annotations(mask, [far, near, twin])


def test_a_mask_named_after_its_series_finds_it(labels, tmp_path):
    mask = write_mask(labels, tmp_path / "000001_01_02_mask.nii.gz")
    known = [KnownSeries("000001_01_01", None, GEOMETRY), KnownSeries("000001_01_02", None, GEOMETRY)]
    assert read_annotations(mask, known).lesions[0].series_name == "000001_01_02"


def test_grids_are_the_same_up_to_rounding_only():
    moved = VolumeGeometry(GEOMETRY.shape, GEOMETRY.spacing_mm, origin_mm=(-35.5, -20.25, 110.001))
    shifted = VolumeGeometry(GEOMETRY.shape, GEOMETRY.spacing_mm, origin_mm=(-35.5, -20.25, 112.5))
    stretched = VolumeGeometry(GEOMETRY.shape, (2.5, 0.82, 0.7), origin_mm=GEOMETRY.origin_mm)
    assert is_same_grid(GEOMETRY, moved)
    assert not is_same_grid(GEOMETRY, shifted)
    assert not is_same_grid(GEOMETRY, stretched)


def contour_mm(slice_index, corners_xy):
    points = np.asarray([(slice_index, y, x) for x, y in corners_xy], dtype=float)
    return GEOMETRY.index_to_mm(points)


RECTANGLE = [(2.5, 1.5), (6.5, 1.5), (6.5, 4.5), (2.5, 4.5)]
"""Voxels 3 to 6 across and 2 to 4 down."""


def test_contours_and_the_mask_of_one_lesion_give_the_same_lesion(tmp_path):
    values = np.zeros(GEOMETRY.shape, np.uint8)
    values[1:4, 2:5, 3:7] = 1
    drawn = [contour_mm(index, RECTANGLE) for index in (3, 1, 2)]
    contours = read_annotations(write_rtstruct(tmp_path / "rs.dcm", [("lesion", "", drawn)]), [SERIES])
    mask = read_annotations(write_mask(values, tmp_path / "mask.nii.gz"), [SERIES])
    assert contours.lesions == mask.lesions
    assert contours.lesions[0].box == (3, 2, 1, 7, 5, 4)


def test_a_second_contour_inside_is_a_hole_and_beside_is_a_part():
    hole = contour_mm(2, [(3.5, 2.5), (5.5, 2.5), (5.5, 3.5), (3.5, 3.5)])
    beside = contour_mm(2, [(7.5, 5.5), (8.5, 5.5), (8.5, 6.5), (7.5, 6.5)])
    outline = contour_mm(2, RECTANGLE)
    assert rasterise(Region("a", "", (outline, hole)), GEOMETRY)[0].box == (3, 2, 7, 5)
    assert rasterise(Region("a", "", (outline, beside)), GEOMETRY)[0].box == (3, 2, 9, 7)
    assert rasterise(Region("a", "", (outline, outline)), GEOMETRY) == ()


@given(st.lists(st.tuples(st.floats(-2, 12), st.floats(-2, 10)), min_size=3, max_size=9, unique=True))
def test_voxels_of_a_contour_lie_within_its_extent(corners):
    slices = rasterise(Region("a", "", (contour_mm(4, corners),)), GEOMETRY)
    across, down = zip(*corners, strict=True)
    for item in slices:
        x1, y1, x2, y2 = item.box
        assert min(across) - 1e-6 <= x1
        assert x2 - 1 <= max(across) + 1e-6
        assert min(down) - 1e-6 <= y1
        assert y2 - 1 <= max(down) + 1e-6


def test_organs_and_margins_are_left_out_with_a_note(tmp_path):
    drawn = [contour_mm(1, RECTANGLE)]
    regions = [("Lung", "ORGAN", drawn), ("GTV-1", "", drawn), ("PTV", "PTV", drawn), ("GTV-2", "GTV", drawn)]
    imported = read_annotations(write_rtstruct(tmp_path / "rs.dcm", regions), [SERIES])
    assert len(imported.lesions) == 2
    assert imported.notes == ("2 regions that are no lesions were left out",)


def test_contours_of_a_series_that_is_not_in_the_project_name_it(tmp_path):
    path = write_rtstruct(tmp_path / "rs.dcm", [("GTV", "", [contour_mm(1, RECTANGLE)])], series_uid="9.9")
    with pytest.raises(AnnotationFileError, match=r"belongs to series 9\.9, which is not in the project"):
        read_annotations(path, [SERIES])
    assert read_annotations(path, [SERIES], series_name="chest").lesions[0].series_name == "chest"


def test_contours_beside_the_volume_are_refused_with_their_slice(tmp_path):
    path = write_rtstruct(tmp_path / "rs.dcm", [("GTV", "", [contour_mm(7, RECTANGLE)])])
    with pytest.raises(AnnotationFileError, match=r"lies at slice 7\.00 to 7\.00 of a series with 6 slices"):
        read_annotations(path, [SERIES])


def test_a_truncated_rtstruct_is_refused(tmp_path):
    path = write_rtstruct(tmp_path / "rs.dcm", [("GTV", "", [contour_mm(1, RECTANGLE)])])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AnnotationFileError, match=r"rs\.dcm is not a complete RTSTRUCT"):
        read_annotations(path, [SERIES])


def test_a_ct_slice_given_as_annotations_is_refused(tmp_path, write_dicom):
    path = write_dicom(tmp_path)[0]
    with pytest.raises(AnnotationFileError, match="is a DICOM CT Image Storage"):
        read_annotations(path, [SERIES])


def test_a_file_of_no_known_format_and_a_missing_one_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("lesion at the top")
    with pytest.raises(AnnotationFileError, match="no known annotation format"):
        read_annotations(tmp_path / "notes.txt", [])
    with pytest.raises(AnnotationFileError, match="is not a file"):
        read_annotations(tmp_path, [])


def test_the_hull_of_cross_sections_is_half_open(labels):
    assert box_from_slices(lesions_of_labels(labels)[1]) == (3, 2, 1, 7, 5, 3)
