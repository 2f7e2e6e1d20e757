import numpy as np
import pytest
from support.files.published_data import (
    BRIGHT,
    BRIGHT_ABOVE_HU,
    MANUAL_NAME,
    MANUAL_ROW,
    deeplesion_row,
    scene,
    write_deeplesion,
    write_manual_test,
)

from lens_engine.boxes import Overlap
from lens_engine.errors import AnnotationFileError
from lens_engine.evaluation.froc import match
from lens_engine.findings import Split
from lens_engine.io.annotations.imported import TestSetPart
from lens_training.datasets.case import LesionFacts
from lens_training.datasets.published.catalogue import Effect, Oddity, manual_test_cases
from lens_training.datasets.published.manual_test_set import MANUAL_FILE, PUBLISHED
from lens_training.errors import DatasetError

X1, Y1, Z1, X2, Y2, Z2 = BRIGHT


@pytest.fixture
def folder(tmp_path):
    write_deeplesion(tmp_path, scene())
    return tmp_path


@pytest.mark.parametrize(("part", "split"), [(TestSetPart.VAL, Split.VAL), (TestSetPart.TEST, Split.TEST)])
def test_a_sub_volume_has_its_complete_boxes(part, split, folder):
    write_manual_test(folder, MANUAL_ROW, part=part)
    reading = manual_test_cases(folder)
    (case,) = reading.cases
    assert (case.name, case.patient, case.split, case.dataset) == (MANUAL_NAME, "000001", split, "deeplesion")
    np.testing.assert_array_equal(case.truth, [BRIGHT])
    inside = case.load().voxels[Z1:Z2, Y1:Y2, X1:X2]
    assert (inside > BRIGHT_ABOVE_HU).all()
    assert (case.load().voxels > BRIGHT_ABOVE_HU).sum() == inside.size
    assert reading.odd == ()
    assert reading.counts[f"{part} boxes"] == 1


def test_a_sub_volume_without_a_box_is_a_case(folder):
    write_manual_test(folder)
    reading = manual_test_cases(folder)
    assert reading.cases[0].truth.shape == (0, 6)
    assert reading.counts["test sub-volumes without a box"] == 1


def test_a_box_with_a_measured_key_slice_gets_type_and_diameter(folder):
    loose = [X1 - 4, Y1 - 4, MANUAL_ROW[2], X2 + 3, Y2 + 3, MANUAL_ROW[5]]
    below_the_key_slice = [*loose[:2], 47, *loose[3:5], 50]
    write_manual_test(folder, loose, below_the_key_slice, MANUAL_ROW)
    assert manual_test_cases(folder).cases[0].facts == (LesionFacts("lung", 7.5), LesionFacts(), LesionFacts())


def test_missing_slices_are_counted_and_named(folder):
    (folder / "Images_png" / "000001_01_01" / "041.png").unlink()
    write_manual_test(folder, MANUAL_ROW)
    reading = manual_test_cases(folder)
    (item,) = reading.odd
    assert (item.place, item.oddity, item.effect) == (MANUAL_NAME, Oddity.MISSING_IMAGE, Effect.SKIPPED)
    assert item.detail == "1 of 14 slices are not there, the first is 041.png"
    assert reading.counts["usable sub-volumes"] == 0


def test_an_unknown_slice_interval_is_assumed_and_noted(folder):
    write_deeplesion(folder, scene(), 39, [deeplesion_row(Spacing_mm_px_="0.5, 0.8, NaN")])
    write_manual_test(folder, MANUAL_ROW)
    reading = manual_test_cases(folder)
    assert reading.odd[0].effect is Effect.KEPT
    assert reading.cases[0].geometry.spacing_mm == (2.0, 0.8, 0.5)


def test_without_the_table_the_spacing_is_asked_for(folder):
    (folder / "DL_info.csv").unlink()
    write_manual_test(folder, MANUAL_ROW)
    reading = manual_test_cases(folder)
    assert [(item.oddity, item.effect) for item in reading.odd] == [(Oddity.UNKNOWN_SPACING, Effect.SKIPPED)]


def test_a_box_beyond_the_image_is_kept_as_published_and_noted(folder):
    write_manual_test(folder, [50, 10, 41, 70, 20, 43])
    reading = manual_test_cases(folder)
    assert "1 boxes leave its (14, 48, 64) voxels" in reading.odd[0].detail
    assert reading.cases[0].truth[0, 3] == 71


def test_a_damaged_first_slice_is_named(folder):
    (folder / "Images_png" / "000001_01_01" / "039.png").write_bytes(b"")
    write_manual_test(folder, MANUAL_ROW)
    assert manual_test_cases(folder).odd[0].oddity is Oddity.BROKEN_FILE


def test_a_folder_without_the_test_set_is_told_what_is_expected(folder):
    with pytest.raises(DatasetError, match=MANUAL_FILE):
        manual_test_cases(folder)


def test_a_damaged_test_set_is_refused(folder):
    (folder / MANUAL_FILE).write_bytes(b"no pickle")
    with pytest.raises(AnnotationFileError, match="not a complete pickle"):
        manual_test_cases(folder)


def test_the_truth_found_as_prediction_is_perfect(folder):
    write_manual_test(folder, MANUAL_ROW, [5, 6, 40, 20, 21, 44])
    (case,) = manual_test_cases(folder).cases
    predictions = {case.name: np.hstack([case.truth, [[0.9], [0.8]]])}
    curve = match(predictions, {case.name: case.truth}, Overlap.IOBB).curve()
    assert curve.average_sensitivity == 1.0


@pytest.mark.real_data
def test_the_published_test_set_without_images_has_its_counts_and_no_case(real_data):
    reading = manual_test_cases(real_data / "deeplesion_manual")
    assert reading.counts == PUBLISHED | {"usable sub-volumes": 0}
    assert reading.cases == ()
    assert reading.skipped == {Oddity.MISSING_IMAGE.value: 1000}
