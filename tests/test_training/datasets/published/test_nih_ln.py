import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from support.files.published_data import BRIGHT, save_dicom, scene, write_nih_ln

from lens_engine.findings import Scope
from lens_training.datasets.published.catalogue import DatasetName, Effect, Oddity, Reading, ReadingOptions
from lens_training.datasets.published.nih_ln import PUBLISHED, read
from lens_training.errors import DatasetError


def only_oddity(reading: Reading, oddity: Oddity, effect: Effect) -> str:
    (item,) = reading.odd
    assert (item.oddity, item.effect) == (oddity, effect)
    return f"{item.place}: {item.detail}"


def mask_of(folder: Path, name: str) -> Path:
    return folder / "MED_ABD_LYMPH_MASKS" / name / f"{name}_mask.nii.gz"


def slices_of(folder: Path, name: str) -> list[Path]:
    return sorted((folder / "CT Lymph Nodes" / name).rglob("*.dcm"))


@pytest.fixture
def folder(tmp_path):
    write_nih_ln(tmp_path, scene())
    write_nih_ln(tmp_path, scene(), "ABD_LYMPH_002")
    for other in ("ANNOTATIONS", "CANDIDATES"):
        place = tmp_path / f"MED_ABD_LYMPH_{other}" / "MED_LYMPH_001"
        place.mkdir(parents=True)
        (place / "MED_LYMPH_001_lymphnodes_indices.txt").write_text("1 2 3\n")
    return tmp_path


def test_both_regions_are_read_and_counted(folder):
    reading = read(folder)
    assert reading.odd == ()
    assert [(case.name, case.facts[0].lesion_type) for case in reading.cases] == [
        ("ABD_LYMPH_002", "abdominal lymph node"), ("MED_LYMPH_001", "mediastinal lymph node"),
    ]  # fmt: skip
    assert DatasetName(reading.cases[0].dataset).scope is Scope.SINGLE_TYPE
    assert reading.cases[0].lesions[0].box == BRIGHT
    assert dict(reading.counts) == dict.fromkeys(PUBLISHED, 1) | {"slices": 28}


def test_the_order_of_file_names_and_numbers_plays_no_part(folder):
    for number, path in enumerate(slices_of(folder, "MED_LYMPH_001")):
        dataset = pydicom.dcmread(path)
        dataset.InstanceNumber = (number * 5) % 14
        dataset.save_as(path.with_name(f"{(number * 3) % 14:06d}.renamed.dcm"))
        path.unlink()
    case = read(folder).cases[1]
    np.testing.assert_array_equal(case.load().voxels, scene().voxels)
    assert case.lesions[0].box == BRIGHT


def test_every_number_of_the_mask_is_a_lymph_node(folder):
    path = mask_of(folder, "MED_LYMPH_001")
    values = np.asarray(nibabel.load(path).dataobj).copy()
    values[10:12, 30:33, 11:13] = 250  # slices 11 and 12 from the feet are 2 and 1 from the head
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    assert [lesion.box for lesion in read(folder).cases[1].lesions] == [BRIGHT, (10, 30, 1, 12, 33, 3)]


def test_a_mask_of_another_shape_is_refused_with_both_shapes_and_the_others_are_read(folder):
    path = mask_of(folder, "MED_LYMPH_001")
    nibabel.save(nibabel.Nifti1Image(np.zeros((64, 48, 13), np.uint8), np.eye(4)), path)
    reading = read(folder)
    message = only_oddity(reading, Oddity.OTHER_SHAPE, Effect.SKIPPED)
    assert message.endswith("MED_LYMPH_001_mask.nii.gz has (13, 48, 64) voxels (z, y, x), its scan (14, 48, 64)")
    assert [case.name for case in reading.cases] == ["ABD_LYMPH_002"]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-200])])
def test_a_missing_or_damaged_slice_is_named_and_the_others_are_read(damage, folder):
    damage(slices_of(folder, "MED_LYMPH_001")[5])
    reading = read(folder)
    message = only_oddity(reading, Oddity.BROKEN_FILE, Effect.SKIPPED)
    assert "CT Lymph Nodes/MED_LYMPH_001: " in message
    assert "00000" in message
    assert [case.name for case in reading.cases] == ["ABD_LYMPH_002"]


def test_a_patient_without_mask_or_scan_is_named(folder):
    mask_of(folder, "MED_LYMPH_001").rename(mask_of(folder, "MED_LYMPH_001").with_name("mask.nii.gz"))
    reading = read(folder)
    message = only_oddity(reading, Oddity.MISSING_MASK, Effect.SKIPPED)
    assert message == "CT Lymph Nodes/MED_LYMPH_001: there is no MED_LYMPH_001_mask.nii.gz"


def test_the_series_that_fits_the_mask_is_taken(folder):
    save_dicom(folder / "CT Lymph Nodes" / "MED_LYMPH_001" / "scout", scene((5, 48, 64)), series_uid="1.2.3.5")
    assert read(folder).cases[1].geometry.shape == (14, 48, 64)


def test_two_series_that_fit_the_mask_are_refused(folder):
    save_dicom(folder / "CT Lymph Nodes" / "MED_LYMPH_001" / "again", scene(), series_uid="1.2.3.5")
    assert "2 series fit" in only_oddity(read(folder), Oddity.BROKEN_FILE, Effect.SKIPPED)


def test_a_scan_that_is_stored_mirrored_is_noted(folder):
    volume = scene()
    for path in slices_of(folder, "MED_LYMPH_001"):
        dataset = pydicom.dcmread(path)
        dataset.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
        dataset.save_as(path)
    reading = read(folder)
    assert "voxel by voxel" in only_oddity(reading, Oddity.ODD_ORIENTATION, Effect.KEPT)
    case = reading.cases[1]
    bright = case.load().voxels > 1200
    assert bright.sum() == (volume.voxels > 1200).sum()
    (index, x1, y1, x2, y2) = case.lesions[0].slices[0]
    assert bright[index, int(y1) : int(y2), int(x1) : int(x2)].all()


def test_a_folder_without_pairs_is_told_what_is_expected(tmp_path):
    with pytest.raises(DatasetError, match=r"There is no NIH-LN .* MED_LYMPH_001"):
        read(tmp_path)


def test_the_cache_spares_the_headers_until_a_file_changes(folder, tmp_path):
    options = ReadingOptions(cache=tmp_path / "cache")
    first, second = read(folder, options), read(folder, options)
    assert first.cases[1].lesions == second.cases[1].lesions
    np.testing.assert_array_equal(second.cases[1].load().voxels, scene().voxels)
    slices_of(folder, "MED_LYMPH_001")[0].unlink()
    assert "its scan (13, 48, 64)" in only_oddity(read(folder, options), Oddity.OTHER_SHAPE, Effect.SKIPPED)


def test_a_second_mask_of_a_patient_is_named_and_left_alone(folder):
    second = folder / "copy" / "MED_ABD_LYMPH_MASKS" / "MED_LYMPH_001"
    shutil.copytree(mask_of(folder, "MED_LYMPH_001").parent, second)
    reading = read(folder)
    assert only_oddity(reading, Oddity.DUPLICATE, Effect.SKIPPED).endswith("has it, too")
    assert len(reading.cases) == 2


def test_two_versions_of_a_scan_are_refused_by_name_and_the_others_are_read(folder):
    shutil.copytree(folder / "CT Lymph Nodes" / "MED_LYMPH_001", folder / "copy" / "MED_LYMPH_001")
    reading = read(folder)
    assert [case.name for case in reading.cases] == ["ABD_LYMPH_002"]
    assert "MED_LYMPH_001" in only_oddity(reading, Oddity.BROKEN_FILE, Effect.SKIPPED)
