import nibabel
import numpy as np
import pytest
from support.files.published_data import BRIGHT, bright_mask, save_nifti, scene, write_lits

from lens_engine.errors import SeriesError
from lens_engine.findings import Scope
from lens_training.datasets.published.catalogue import DatasetName, Effect, Oddity, Reading, ReadingOptions
from lens_training.datasets.published.lits import read
from lens_training.errors import DatasetError

RAS = ((2, 1, 0), (True, True, True))
LPS = ((2, 1, 0), (False, False, True))


def only_oddity(reading: Reading, oddity: Oddity, effect: Effect) -> str:
    (item,) = reading.odd
    assert (item.oddity, item.effect) == (oddity, effect)
    return f"{item.place}: {item.detail}"


@pytest.fixture
def folder(tmp_path):
    write_lits(tmp_path, scene(), RAS, RAS)
    return tmp_path


def test_a_tumour_has_the_extent_of_its_mask(folder):
    reading = read(folder)
    (case,) = reading.cases
    assert (case.name, case.patient, DatasetName(case.dataset).scope) == ("lits-007", "lits-007", Scope.SINGLE_TYPE)
    assert case.lesions[0].box == BRIGHT
    assert case.lesions[0].is_tight
    assert (case.facts[0].lesion_type, case.facts[0].diameter_mm) == ("liver", pytest.approx(8.0))
    assert dict(reading.counts) == {"scans": 1, "lesions": 1, "scans without a lesion": 0, "slices": 14}


def test_scans_and_masks_may_lie_in_different_folders(folder):
    (folder / "batch 2" / "masks").mkdir(parents=True)
    (folder / "segmentation-7.nii.gz").rename(folder / "batch 2" / "masks" / "segmentation-7.nii.gz")
    assert len(read(folder).cases) == 1


def test_separate_parts_are_lesions_and_small_ones_can_be_left_out(folder):
    mask = bright_mask(scene(), 2)
    mask[1, 30, 20] = 2
    save_nifti(folder / "segmentation-7.nii.gz", mask, scene().geometry, *RAS)
    assert [lesion.box for lesion in read(folder).cases[0].lesions] == [(20, 30, 1, 21, 31, 2), BRIGHT]
    reading = read(folder, ReadingOptions(min_lesion_voxels=2))
    assert len(reading.cases[0].lesions) == 1
    assert reading.skipped == {"lesion below 2 voxels": 1}


def test_a_mask_of_another_shape_is_refused_with_both_shapes_and_the_others_are_read(folder):
    write_lits(folder, scene(), RAS, RAS, number=8)
    small = scene((13, 48, 64))
    save_nifti(folder / "segmentation-8.nii.gz", bright_mask(small, 2), small.geometry, *RAS)
    reading = read(folder)
    message = only_oddity(reading, Oddity.OTHER_SHAPE, Effect.SKIPPED)
    assert message.endswith("segmentation-8.nii.gz has (13, 48, 64) voxels (z, y, x), its scan (14, 48, 64)")
    assert [case.name for case in reading.cases] == ["lits-007"]


def test_a_mask_with_another_header_is_taken_voxel_by_voxel_and_noted(folder):
    image = nibabel.load(folder / "segmentation-7.nii.gz")
    moved = nibabel.Nifti1Image(np.asarray(image.dataobj), np.diag([1.0, 1.0, 1.0, 1.0]))
    nibabel.save(moved, folder / "segmentation-7.nii.gz")
    reading = read(folder)
    assert "taken as the same" in only_oddity(reading, Oddity.OTHER_GRID, Effect.KEPT)
    assert reading.cases[0].lesions[0].box == BRIGHT


def test_a_liver_on_the_left_side_is_noted(folder):
    mask = bright_mask(scene(), 2)
    mask[5:9, 10:30, 40:60] = 1
    mask[bright_mask(scene(), 1) == 1] = 2
    save_nifti(folder / "segmentation-7.nii.gz", mask, scene().geometry, *RAS)
    message = only_oddity(read(folder), Oddity.ODD_ORIENTATION, Effect.KEPT)
    assert "of the way from right to left" in message


@pytest.mark.parametrize(
    ("gone", "oddity", "message"),
    [
        ("segmentation-8.nii.gz", Oddity.MISSING_MASK, "volume-8.nii: there is no segmentation-8.nii"),
        ("volume-8.nii", Oddity.MISSING_SCAN, "segmentation-8.nii.gz: there is no volume-8.nii"),
    ],
)
def test_a_half_of_a_pair_is_named(gone, oddity, message, folder):
    write_lits(folder, scene(), LPS, LPS, number=8)
    (folder / gone).unlink()
    assert only_oddity(read(folder), oddity, Effect.SKIPPED) == message


@pytest.mark.parametrize("name", ["volume-8.nii", "segmentation-8.nii.gz"])
def test_a_damaged_file_is_named_and_the_others_are_read(name, folder):
    write_lits(folder, scene(), LPS, LPS, number=8)
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    reading = read(folder)
    assert f"{name} cannot be read" in only_oddity(reading, Oddity.BROKEN_FILE, Effect.SKIPPED)
    assert [case.name for case in reading.cases] == ["lits-007"]


def test_a_mask_that_holds_hu_is_refused(folder):
    save_nifti(folder / "segmentation-7.nii.gz", scene().voxels, scene().geometry, *RAS)
    assert "that are no labels" in only_oddity(read(folder), Oddity.BROKEN_FILE, Effect.SKIPPED)


def test_a_number_twice_is_named_and_other_files_are_counted(folder):
    (folder / "batch").mkdir()
    (folder / "volume-7.nii").rename(folder / "batch" / "volume-7.nii")
    save_nifti(folder / "volume-7.nii.gz", scene().voxels, scene().geometry, *RAS)
    save_nifti(folder / "test-volume-3.nii", scene().voxels, scene().geometry, *RAS)
    reading = read(folder)
    assert only_oddity(reading, Oddity.DUPLICATE, Effect.SKIPPED) == "volume-7.nii.gz: batch/volume-7.nii was taken"
    assert reading.skipped["NIfTI file with another name"] == 1


def test_a_folder_without_pairs_is_told_what_is_expected(tmp_path):
    with pytest.raises(DatasetError, match=r"There is no LiTS .* volume-0\.nii and segmentation-0\.nii"):
        read(tmp_path)


def test_the_cache_gives_the_same_and_a_changed_mask_is_read_again(folder, tmp_path):
    options = ReadingOptions(cache=tmp_path / "cache")
    first, second = read(folder, options), read(folder, options)
    assert first.cases[0].lesions == second.cases[0].lesions
    assert first.cases[0].geometry == second.cases[0].geometry
    np.testing.assert_array_equal(second.cases[0].load().voxels, scene().voxels)
    save_nifti(folder / "segmentation-7.nii.gz", bright_mask(scene(), 1), scene().geometry, *RAS)
    assert read(folder, options).cases[0].lesions == ()


def test_a_damaged_cache_is_made_again(folder, tmp_path):
    options = ReadingOptions(cache=tmp_path / "cache")
    read(folder, options)
    for content in ("", "[]", '{"fingerprint": 3}'):
        (tmp_path / "cache" / "lits-007.json").write_text(content)
        assert len(read(folder, options).cases[0].lesions) == 1


def test_a_cache_folder_that_cannot_be_made_is_named(folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"cache folder .* cannot be made"):
        read(folder, ReadingOptions(cache=tmp_path / "file" / "cache"))


def test_a_scan_that_was_listed_and_then_replaced_is_refused(folder):
    (case,) = read(folder).cases
    other = scene((13, 48, 64))
    save_nifti(folder / "volume-7.nii", other.voxels, other.geometry, *RAS)
    with pytest.raises(SeriesError, match=r"lits-007 has the shape \(13, 48, 64\)"):
        case.load()


def test_progress_counts_the_pairs(folder):
    seen: list[tuple[int, int]] = []
    read(folder, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 1)]
