from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from support.files.published_data import BRIGHT, SHAPE, deeplesion_row, save_pngs, scene, write_deeplesion, write_table

from lens_engine.detector.input_config import InputConfig
from lens_engine.detector.preprocess import prepare
from lens_engine.errors import AnnotationFileError, SeriesError
from lens_engine.findings import Scope, Split
from lens_engine.io.annotations.deeplesion_csv import LESION_TYPES
from lens_training.datasets.published.catalogue import DatasetName, Effect, Oddity, Reading
from lens_training.datasets.published.deeplesion import NOISY, PUBLISHED, read
from lens_training.errors import DatasetError

WIDTH, HEIGHT = SHAPE[2], SHAPE[1]


def read_rows_about_slices_39_to_52(folder: Path, *rows: dict[str, str]) -> Reading:
    write_deeplesion(folder, scene(), 39, rows)
    return read(folder)


def only_oddity(reading: Reading, oddity: Oddity, effect: Effect) -> str:
    (item,) = reading.odd
    assert (item.oddity, item.effect) == (oddity, effect)
    assert reading.skipped.get(oddity.value, 0) == (effect is Effect.SKIPPED)
    return f"{item.place}: {item.detail}"


def test_a_lesion_has_its_official_split_its_type_and_its_diameter(tmp_path):
    (case,) = read_rows_about_slices_39_to_52(tmp_path, deeplesion_row(Train_Val_Test="3")).cases
    assert (case.name, case.patient, case.split) == ("000001_01_01_039-052", "000001", Split.TEST)
    assert (case.facts[0].lesion_type, case.facts[0].diameter_mm) == ("lung", 7.5)
    assert not case.lesions[0].is_tight
    assert DatasetName(case.dataset).scope is Scope.UNIVERSAL


def test_a_lesion_of_the_training_split_has_no_type(tmp_path):
    (case,) = read_rows_about_slices_39_to_52(tmp_path, deeplesion_row(Coarse_lesion_type="-1")).cases
    assert case.facts[0].lesion_type is None


def test_sub_volumes_follow_from_the_files_and_not_from_the_table(tmp_path):
    write_deeplesion(tmp_path, scene(), 39, [deeplesion_row(), deeplesion_row(key_slice=102, Slice_range="39, 110")])
    save_pngs(tmp_path / "Images_png" / "000001_01_01", scene(), 100)
    first, second = read(tmp_path).cases
    assert [first.name, second.name] == ["000001_01_01_039-052", "000001_01_01_100-113"]
    assert [lesion.key_slice for lesion in (*first.lesions, *second.lesions)] == [6, 2]
    assert second.geometry.first_slice_number == 100


def test_one_missing_slice_separates_sub_volumes(tmp_path):
    write_deeplesion(tmp_path, scene())
    (tmp_path / "Images_png" / "000001_01_01" / "047.png").unlink()
    assert [case.name for case in read(tmp_path).cases] == ["000001_01_01_039-046", "000001_01_01_048-052"]


def test_listing_opens_only_the_first_slice_of_a_sub_volume(tmp_path):
    write_deeplesion(tmp_path, scene())
    for number in range(40, 53):
        (tmp_path / "Images_png" / "000001_01_01" / f"{number:03d}.png").write_bytes(b"")
    reading = read(tmp_path)
    assert reading.odd == ()
    with pytest.raises(SeriesError, match=r"040\.png in 000001_01_01 is truncated"):
        reading.cases[0].load()


def test_noisy_rows_are_left_out_and_counted(tmp_path):
    reading = read_rows_about_slices_39_to_52(tmp_path, deeplesion_row(), deeplesion_row(Possibly_noisy="1"))
    assert [len(case.lesions) for case in reading.cases] == [1]
    assert (reading.counts["noisy lesions"], reading.counts["noisy train lesions"]) == (1, 1)
    assert (reading.counts["train lesions in the table"], reading.counts["usable train lesions"]) == (2, 1)
    assert reading.skipped == {NOISY: 1}
    assert reading.odd == ()


def test_a_sub_volume_whose_only_lesion_is_noisy_stays_a_case(tmp_path):
    (case,) = read_rows_about_slices_39_to_52(tmp_path, deeplesion_row(Possibly_noisy="1")).cases
    assert case.lesions == ()


def test_a_missing_slice_is_named_with_its_row(tmp_path):
    reading = read_rows_about_slices_39_to_52(
        tmp_path, deeplesion_row(), deeplesion_row(key_slice=60, Slice_range="39, 70")
    )
    assert only_oddity(reading, Oddity.MISSING_IMAGE, Effect.SKIPPED) == (
        "DL_info.csv line 3: 000001_01_01/060.png is not there"
    )
    assert reading.counts["usable lesions"] == 1


def test_the_rows_of_a_series_that_is_not_on_the_disk_are_named(tmp_path):
    reading = read_rows_about_slices_39_to_52(tmp_path, deeplesion_row(), deeplesion_row("000002_01_01"))
    assert "000002_01_01/045.png is not there" in only_oddity(reading, Oddity.MISSING_IMAGE, Effect.SKIPPED)


@pytest.mark.parametrize("box", ["70, 5, 90, 15", "-30, 5, -8, 15", "20, 50, 30, 60"])
def test_a_box_outside_the_image_is_named_with_its_row(box, tmp_path):
    reading = read_rows_about_slices_39_to_52(
        tmp_path, deeplesion_row(Bounding_boxes=box, Measurement_coordinates=box_marks(box))
    )
    message = only_oddity(reading, Oddity.OUTSIDE, Effect.SKIPPED)
    assert message.startswith("DL_info.csv line 2: box (")
    assert f"in an image of {WIDTH} x {HEIGHT}" in message
    assert reading.cases[0].lesions == ()


def test_the_margin_of_a_box_is_cut_at_the_border_of_the_image(tmp_path):
    box = "-3, 5, 20, 15"
    reading = read_rows_about_slices_39_to_52(
        tmp_path, deeplesion_row(Bounding_boxes=box, Measurement_coordinates=box_marks(box))
    )
    assert reading.cases[0].lesions[0].box == (0, 4.5, 6, 19.5, 14.5, 7)
    assert reading.odd == ()


def test_a_box_that_leaves_the_image_by_more_than_its_margin_is_cut_and_noted(tmp_path):
    box = "-12, 5, 40, 15"
    reading = read_rows_about_slices_39_to_52(
        tmp_path, deeplesion_row(Bounding_boxes=box, Measurement_coordinates=box_marks(box))
    )
    assert "was cut at its borders" in only_oddity(reading, Oddity.OUTSIDE, Effect.KEPT)
    assert reading.cases[0].lesions[0].box[0] == 0


def box_marks(box: str) -> str:
    left, top, right, bottom = box.split(", ")
    return ", ".join([left, top, right, bottom, left, bottom, right, top])


@pytest.mark.parametrize("interval", ["NaN", "0", "-5.0"])
def test_key_slices_of_an_unknown_interval_are_cases_of_one_slice(interval, tmp_path):
    spacing = f"0.5, 0.8, {interval}"
    rows = [deeplesion_row(key_slice=key, Spacing_mm_px_=spacing) for key in (45, 46)]
    reading = read_rows_about_slices_39_to_52(tmp_path, *rows)
    message = only_oddity(reading, Oddity.UNKNOWN_SPACING, Effect.KEPT)
    assert message.startswith("DL_info.csv line 2: (0.5, 0.8, ")
    assert "each key slice of 000001_01_01_039-052 is a case of its own" in message
    assert [case.name for case in reading.cases] == ["000001_01_01_045-045", "000001_01_01_046-046"]
    volume = reading.cases[0].load()
    np.testing.assert_array_equal(volume.voxels[0], scene().voxels[6])
    nine = prepare(volume, InputConfig()).sample(0)
    assert (nine == nine[0]).all()


def test_an_unknown_pixel_size_loses_the_sub_volume_and_counts_its_lesions(tmp_path):
    reading = read_rows_about_slices_39_to_52(tmp_path, deeplesion_row(Spacing_mm_px_="NaN, NaN, 2.0"))
    assert "nan" in only_oddity(reading, Oddity.UNKNOWN_SPACING, Effect.SKIPPED)
    assert reading.cases == ()
    assert reading.skipped["lesion of a sub-volume that cannot be read"] == 1


def test_a_damaged_first_slice_loses_its_sub_volume_and_no_other(tmp_path):
    write_deeplesion(tmp_path, scene(), 39, [deeplesion_row(), deeplesion_row(key_slice=102, Slice_range="100, 113")])
    images = tmp_path / "Images_png" / "000001_01_01"
    save_pngs(images, scene(), 100)
    (images / "039.png").write_bytes(b"\x89PNG")
    reading = read(tmp_path)
    assert only_oddity(reading, Oddity.BROKEN_FILE, Effect.SKIPPED) == (
        "Images_png/000001_01_01/039.png: 039.png in 000001_01_01 is truncated or not a PNG"
    )
    assert [case.name for case in reading.cases] == ["000001_01_01_100-113"]


def test_an_8_bit_slice_is_named_when_its_volume_is_read(tmp_path):
    (case,) = read_rows_about_slices_39_to_52(tmp_path, deeplesion_row()).cases
    picture = sitk.GetImageFromArray(np.zeros((HEIGHT, WIDTH), np.uint8))
    sitk.WriteImage(picture, str(tmp_path / "Images_png" / "000001_01_01" / "050.png"))
    with pytest.raises(SeriesError, match=r"050\.png in 000001_01_01 has 8 bits"):
        case.load()


def test_a_slice_of_another_size_is_named_when_its_volume_is_read(tmp_path):
    (case,) = read_rows_about_slices_39_to_52(tmp_path, deeplesion_row()).cases
    small = sitk.GetImageFromArray(np.zeros((9, 9), np.uint16))
    sitk.WriteImage(small, str(tmp_path / "Images_png" / "000001_01_01" / "050.png"))
    with pytest.raises(SeriesError, match=r"050\.png is \(9, 9\), \(48, 64\) is needed"):
        case.load()


def test_another_size_than_the_table_announces_is_noted(tmp_path):
    reading = read_rows_about_slices_39_to_52(tmp_path, deeplesion_row(Image_size="512, 512"))
    assert "Image_size is (512, 512), 045.png has (64, 48)" in only_oddity(reading, Oddity.OTHER_SIZE, Effect.KEPT)
    assert len(reading.cases[0].lesions) == 1


def test_a_broken_row_is_named_and_the_others_are_read(tmp_path):
    reading = read_rows_about_slices_39_to_52(tmp_path, deeplesion_row(Key_slice_index="x"), deeplesion_row())
    assert only_oddity(reading, Oddity.BROKEN_ROW, Effect.SKIPPED).startswith("DL_info.csv line 2: ")
    assert reading.counts["usable lesions"] == 1


def test_a_row_with_an_odd_slice_range_is_kept(tmp_path):
    reading = read_rows_about_slices_39_to_52(tmp_path, deeplesion_row(Slice_range="1, 3"))
    assert "outside Slice_range 1, 3" in only_oddity(reading, Oddity.BROKEN_ROW, Effect.KEPT)
    assert reading.counts["usable lesions"] == 1


def test_a_patient_is_in_one_split_only(tmp_path):
    reading = read_rows_about_slices_39_to_52(tmp_path, deeplesion_row(), deeplesion_row(Train_Val_Test="3"))
    assert "patient 1 is in train before and in test here" in only_oddity(reading, Oddity.OTHER_SPLIT, Effect.SKIPPED)
    assert {case.split for case in reading.cases} == {Split.TRAIN}


def test_folders_and_files_that_the_table_does_not_know_are_named(tmp_path):
    write_deeplesion(tmp_path, scene())
    images = tmp_path / "Images_png"
    (images / "000009_01_01").mkdir()
    (images / "000001_01_01" / "39.png").touch()
    (images / "000001_01_01" / ".DS_Store").touch()
    assert [(item.place, item.oddity) for item in read(tmp_path).odd] == [
        ("Images_png/000001_01_01/39.png", Oddity.UNLISTED),
        ("Images_png/000009_01_01", Oddity.UNLISTED),
    ]


def test_two_spacings_in_one_series_are_noted(tmp_path):
    reading = read_rows_about_slices_39_to_52(
        tmp_path, deeplesion_row(), deeplesion_row(Spacing_mm_px_="0.5, 0.8, 3.0")
    )
    assert "(0.5, 0.8, 3.0) mm differs" in only_oddity(reading, Oddity.OTHER_SIZE, Effect.KEPT)
    assert reading.cases[0].geometry.spacing_mm == (2.0, 0.8, 0.5)


def test_a_sub_volume_of_three_slices_can_be_learnt_from(tmp_path):
    save_pngs(tmp_path / "Images_png" / "000001_01_01", scene((3, HEIGHT, WIDTH), (*BRIGHT[:2], 1, *BRIGHT[3:5], 2)), 7)
    write_table(tmp_path / "DL_info.csv", [deeplesion_row(key_slice=8, Slice_range="7, 9")])
    (case,) = read(tmp_path).cases
    assert prepare(case.load(), InputConfig()).sample(1).shape[0] == 9
    assert len(case.labels.on_slice(1).lesions) == 1


@pytest.mark.parametrize("missing", ["DL_info.csv", "Images_png"])
def test_a_folder_without_table_or_images_is_told_what_is_expected(missing, tmp_path):
    write_deeplesion(tmp_path, scene())
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=r"There is no DeepLesion in .*DL_info\.csv and, beside it, Images_png"):
        read(tmp_path)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DatasetError, match="nowhere is not a folder"):
        read(tmp_path / "nowhere")


def test_missing_columns_are_named(tmp_path):
    row = deeplesion_row()
    del row["Slice_range"]
    write_deeplesion(tmp_path, scene(), 39, [row])
    with pytest.raises(AnnotationFileError, match="missing are Slice_range"):
        read(tmp_path)


def test_the_key_slices_of_the_test_split_can_be_evaluated(tmp_path):
    rows = [
        deeplesion_row(Train_Val_Test="3"),
        deeplesion_row(Train_Val_Test="3", Bounding_boxes="20, 8, 50, 30"),
        deeplesion_row(key_slice=48, Train_Val_Test="3"),
    ]
    reading = read_rows_about_slices_39_to_52(tmp_path, *rows)
    assert key_slices(reading) == {("000001_01_01_039-052", 6): 2, ("000001_01_01_039-052", 9): 1}
    assert (reading.counts["usable test key slices"], reading.counts["usable test lesions"]) == (2, 3)


def key_slices(reading: Reading) -> dict[tuple[str, int], int]:
    """Return the number of boxes on every key slice of the test split: all that algorithms 9.2 needs."""
    counts: dict[tuple[str, int], int] = {}
    for case in reading.cases:
        for lesion in case.lesions:
            if case.split is Split.TEST and lesion.key_slice is not None:
                counts[case.name, lesion.key_slice] = counts.get((case.name, lesion.key_slice), 0) + 1
    return counts


def test_the_published_counts_agree_with_each_other():
    def total(names: Sequence[str]) -> float:
        return sum(PUBLISHED[name] for name in names)

    splits = [split.value for split in Split]
    assert total([f"{split} lesions in the table" for split in splits]) == PUBLISHED["lesions in the table"]
    assert total([f"noisy {split} lesions" for split in splits]) == PUBLISHED["noisy lesions"]
    assert total([f"usable {split} lesions" for split in splits]) == PUBLISHED["usable lesions"]
    assert total([f"usable {split} key slices" for split in splits]) == PUBLISHED["usable key slices"]
    for split in splits:
        kept = PUBLISHED[f"{split} lesions in the table"] - PUBLISHED[f"noisy {split} lesions"]
        assert kept == PUBLISHED[f"usable {split} lesions"]
    typed = total(["val lesions in the table", "test lesions in the table"])
    assert total([f"{kind} lesions" for kind in LESION_TYPES]) == typed
