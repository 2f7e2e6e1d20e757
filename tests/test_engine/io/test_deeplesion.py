import numpy as np
import pytest
import SimpleITK as sitk

from lens_engine.errors import AnnotationFileError, ProjectError, SeriesError
from lens_engine.findings import Split
from lens_engine.io.annotations.annotation_file import read_annotations
from lens_engine.io.annotations.deeplesion_csv import COLUMNS, read_rows, read_table
from lens_engine.io.annotations.imported import KnownSeries
from lens_engine.io.series import ScanReport, read_volume, scan
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.exchange.ingest import import_annotations


def only_problem(report: ScanReport) -> str:
    assert not report.found
    (problem,) = report.problems
    return str(problem)


def test_png_slices_become_hu_with_the_spacing_of_the_table_above(tmp_path, write_png_series, write_csv, phantom):
    write_csv(tmp_path)
    write_png_series(tmp_path / "Images_png" / "000001_01_02", (39, 40, 41, 42, 43, 44))
    (found,) = scan([tmp_path]).found
    volume = read_volume(found.source)
    np.testing.assert_array_equal(volume.voxels, phantom.voxels)
    assert volume.geometry == found.geometry
    assert volume.geometry.spacing_mm == (2.5, 0.8, 0.7)
    assert (found.first_slice_number, found.last_slice_number) == (39, 44)
    assert found.given_name == "000001_01_02_039-044"
    assert (found.patient_key, found.study_key) == ("name:000001", "name:000001_01")


def test_a_gap_in_the_numbers_separates_sub_volumes(tmp_path, write_png_series, write_csv, phantom):
    write_csv(tmp_path / "000001_01_02")
    write_png_series(tmp_path / "000001_01_02", (7, 8, 9, 998, 999, 1000))
    found = scan([tmp_path]).found
    assert [series.given_name for series in found] == ["000001_01_02_007-009", "000001_01_02_998-1000"]
    np.testing.assert_array_equal(read_volume(found[1].source).voxels, phantom.voxels[3:])


def test_without_the_table_the_spacing_is_asked_for(tmp_path, write_png_series):
    write_png_series(tmp_path / "000001_01_02", (1, 2, 3))
    message = only_problem(scan([tmp_path]))
    assert "spacing of 000001_01_02 is not known" in message
    assert "Copy DL_info.csv" in message


def test_a_series_that_the_table_does_not_list_is_named(tmp_path, write_png_series, write_csv):
    write_csv(tmp_path)
    write_png_series(tmp_path / "000009_01_01", (1, 2, 3))
    assert "has no row for 000009_01_01" in only_problem(scan([tmp_path]))


def test_an_unknown_slice_interval_is_refused(tmp_path, write_png_series, write_csv):
    write_csv(tmp_path, ("0.7, 0.8, 2.5", "0.7, 0.8, NaN"))
    write_png_series(tmp_path / "000001_01_02", (1, 2, 3))
    assert "voxel spacing is (nan, 0.8, 0.7)" in only_problem(scan([tmp_path]))


def test_an_8_bit_picture_of_a_slice_is_refused(tmp_path, write_png_series, write_csv):
    write_csv(tmp_path)
    write_png_series(tmp_path / "000001_01_02", (1, 2, 3))
    picture = sitk.GetImageFromArray(np.zeros((8, 10), np.uint8))
    sitk.WriteImage(picture, str(tmp_path / "000001_01_02" / "002.png"))
    assert "002.png in 000001_01_02 has 8 bits" in only_problem(scan([tmp_path]))


def test_a_truncated_png_is_named(tmp_path, write_png_series, write_csv):
    write_csv(tmp_path)
    write_png_series(tmp_path / "000001_01_02", (1, 2, 3))
    path = tmp_path / "000001_01_02" / "003.png"
    path.write_bytes(path.read_bytes()[:-30])
    assert "003.png in 000001_01_02 is truncated" in only_problem(scan([tmp_path]))


def test_a_png_with_a_changed_byte_is_named_when_it_is_read(tmp_path, write_png_series, write_csv):
    write_csv(tmp_path)
    write_png_series(tmp_path / "000001_01_02", (1, 2, 3))
    (found,) = scan([tmp_path]).found
    path = tmp_path / "000001_01_02" / "003.png"
    content = bytearray(path.read_bytes())
    content[-14] ^= 1  # of the checksum of the pixels
    path.write_bytes(content)
    with pytest.raises(SeriesError, match=r"003\.png in 000001_01_02 cannot be decoded"):
        read_volume(found.source)


def test_slices_of_two_sizes_are_refused(tmp_path, write_png_series, write_csv):
    write_csv(tmp_path)
    write_png_series(tmp_path / "000001_01_02", (1, 2, 3))
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4), np.uint16)), str(tmp_path / "000001_01_02" / "003.png"))
    assert "different sizes (rows, columns): 003.png is (4, 4), (8, 10) is needed" in only_problem(scan([tmp_path]))


def test_other_pictures_are_skipped(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4), np.uint8)), str(tmp_path / "logo.png"))
    assert scan([tmp_path]).skipped == {"not an image of a scan": 1}


def test_a_row_of_the_table_is_read(tmp_path, write_csv):
    (row,) = read_rows(write_csv(tmp_path))
    assert row.series_name == "000001_01_02"
    assert row.box == (0.5, 0.0, 12.5, 12.5)
    assert (row.key_slice, row.first_slice, row.last_slice) == (40, 39, 44)
    assert (row.lesion_type, row.is_noisy, row.split) == ("lung", False, Split.TEST)
    assert row.spacing_mm == (0.7, 0.8, 2.5)


def test_a_changed_table_is_read_again(tmp_path, write_csv):
    read_rows(write_csv(tmp_path))
    (row,) = read_rows(write_csv(tmp_path, ("0.7, 0.8, 2.5", "0.71, 0.81, 5.0")))
    assert row.spacing_mm == (0.71, 0.81, 5.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("000001_01_02_040.png", "000001_01_02_041.png", "Key_slice_index 40 differ"),
        ("000001_01_02_040.png", "000003_01_02_040.png", "patient, study and series indices differ"),
        ('"39, 44"', '"41, 44"', "outside Slice_range 41, 44"),
        ('"1.0, 0.5, 13.0, 13.0"', '"1.0, 0.5, 13.0"', "3 numbers instead of 4"),
        ('"1.0, 0.5, 13.0, 13.0"', '"7.6, 0.5, 13.0, 13.0"', "lie outside Bounding_boxes"),
        ('"1.0, 0.5, 13.0, 13.0"', '"13.0, 0.5, 1.0, 13.0"', "Bounding_boxes is empty"),
        (",5,0,", ",9,0,", "Coarse_lesion_type is 9"),
        (",5,0,", ",lung,0,", "lung"),
        ("62.0,3", "62.0,4", "Train_Val_Test is 4"),
        (",F,62.0,3", ",F,62.0", "17 cells instead of 18"),
        (",F,62.0,3", ",F,62,0,3", "19 cells instead of 18"),
        (",F,62.0,3", ",F,62.0,", "Train_Val_Test is empty"),
        ('"39, 44"', '"39, 44', "quotation mark"),
        ('"39, 44"', '"39, NaN"', "could not convert Slice_range '39, NaN' to 2 whole numbers"),
        ('"0.7, 0.8, 2.5"', '"0.7, 0.8, inf"', "infinite number in Spacing_mm_px_ '0.7, 0.8, inf'"),
    ],
)
def test_a_row_that_contradicts_itself_is_named_by_its_line(old, new, message, tmp_path, write_csv):
    path = write_csv(tmp_path, (old, new))
    with pytest.raises(AnnotationFileError, match=rf"Line 2 of DL_info\.csv.*{message}"):
        read_rows(path)


def test_a_bad_row_does_not_stop_the_others_and_an_odd_one_stays_usable(tmp_path, write_csv):
    path = write_csv(tmp_path)
    good = path.read_text().splitlines()[1]
    bad, odd = good.replace(",5,0,", ",9,0,"), good.replace('"39, 44"', '"41, 44"')
    path.write_text("\n".join([path.read_text().splitlines()[0], bad, odd, good]) + "\n")
    table = read_table(path)
    assert [row.line for row in table.rows] == [3, 4]
    assert [(problem.line, problem.row) for problem in table.problems] == [(2, None), (3, table.rows[0])]
    assert table.rows[1].image_size == (10, 8)
    assert table.rows[1].diameters_mm == (pytest.approx(1.54), pytest.approx(1.75))


def test_missing_columns_are_named(tmp_path, write_csv):
    header = ",".join(name for name in COLUMNS if name != "Slice_range")
    with pytest.raises(AnnotationFileError, match="missing are Slice_range"):
        read_rows(write_csv(tmp_path, header=header))


def test_another_table_is_refused_with_the_columns_it_has(tmp_path, write_csv):
    with pytest.raises(AnnotationFileError, match="has the columns patient, age"):
        read_rows(write_csv(tmp_path, header="patient,age"))


def test_a_recist_box_lands_on_the_key_slice_of_the_sub_volume_that_holds_it(tmp_path, write_png_series, write_csv):
    table = write_csv(tmp_path)
    write_png_series(tmp_path / "000001_01_02", (20, 21, 39, 40, 41, 42))
    known = [
        KnownSeries(found.given_name or "", None, found.geometry, found.source.paths[0].parent)
        for found in scan([tmp_path]).found
    ]
    imported = read_annotations(table, known)
    (lesion,) = imported.lesions
    assert lesion.series_name == "000001_01_02_039-042"
    assert lesion.box == (0.5, 0.0, 1.0, 12.5, 12.5, 2.0)
    assert (lesion.key_slice, lesion.first_slice_number, lesion.lesion_type) == (1, 39, "lung")
    assert imported.sub_volumes[0].split is Split.TEST


def test_rows_of_series_that_are_not_known_are_left_out_and_counted(tmp_path, write_csv):
    imported = read_annotations(write_csv(tmp_path), [])
    assert imported.lesions == ()
    assert imported.notes == ("1 rows of slices that are not in the project were left out",)


def test_a_table_that_comes_before_its_scans_is_refused_with_what_to_do(tmp_path, write_csv):
    database = Database.create(Project.create(tmp_path / "project"))
    with pytest.raises(ProjectError, match="no slice of this project") as refused:
        import_annotations(database, write_csv(tmp_path))
    assert "lens add" in refused.value.remedy
    database.close()


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ("nan, 0.5, 13.0, 13.0", "an edge that is no number"),
        ("13.0, 0.5, 1.0, 13.0", "is empty"),
    ],
)
def test_a_box_that_is_none_is_refused_in_the_right_words(box, message, tmp_path, write_csv):
    with pytest.raises(AnnotationFileError, match=message):
        read_rows(write_csv(tmp_path, ("1.0, 0.5, 13.0, 13.0", box)))
