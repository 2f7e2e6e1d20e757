import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.files.phantom_downloads import phantom_scans, write_phantoms
from support.files.published_data import (
    BRIGHT_ABOVE_HU,
    deeplesion_row,
    save_dicom,
    save_nifti,
    scene,
    write_deeplesion,
    write_lits,
    write_luna16,
    write_nih_ln,
    write_table,
)
from typer.testing import CliRunner

from lens_engine.io.annotations.imported import TestSetPart
from lens_engine.io.annotations.manual_test_set import ManualSubVolume, write_pickle
from lens_engine.volume import Volume
from lens_training.cli.app import app
from lens_training.datasets.label_voxels import AXES
from lens_training.datasets.published.catalogue import LAYOUTS, PUBLISHED_COUNTS, DatasetName, Oddity
from lens_training.datasets.published.check import CountLine, check_dataset, render, write_odd
from lens_training.datasets.published.manual_test_set import MANUAL_FILE
from lens_training.errors import DatasetError

RAS = ((2, 1, 0), (True, True, True))
WRITERS = {
    DatasetName.DEEPLESION: write_deeplesion,
    DatasetName.LUNA16: write_luna16,
    DatasetName.LITS: lambda folder, volume: write_lits(folder, volume, RAS, RAS),
    DatasetName.NIH_LN: write_nih_ln,
}


def soft_scene() -> Volume:
    """Return the scene with a bright box that is as dense as tissue."""
    volume = scene()
    return replace(volume, voxels=np.where(volume.voxels > BRIGHT_ABOVE_HU, 60, volume.voxels).astype(np.int16))


def write_soft(name: DatasetName, folder: Path) -> None:
    """Write the soft scene with masks of the bright box, which are made from its brightness."""
    WRITERS[name](folder, scene())
    if name is DatasetName.LITS:
        save_nifti(folder / "volume-7.nii", soft_scene().voxels, soft_scene().geometry, *RAS)
    elif name is DatasetName.NIH_LN:
        (first, *_) = folder.rglob("*.dcm")
        save_dicom(first.parent, soft_scene(), "MED_LYMPH_001")
    else:
        WRITERS[name](folder, soft_scene())


@pytest.mark.parametrize("name", DatasetName)
def test_every_data_set_is_checked_against_its_published_counts(name, tmp_path):
    write_soft(name, tmp_path)
    report = check_dataset(name, tmp_path, reads_voxels=True)
    (section,) = report.sections
    assert {line.what for line in section.lines if line.published is not None} == set(PUBLISHED_COUNTS[name])
    assert all(line.found is not None for line in section.lines)
    assert (report.usable_cases, report.exit_code, report.odd) == (1, 0, ())
    text = render(report)
    assert text.startswith(f"{name.value} in {tmp_path}\n")
    assert "1 usable scans" in text
    assert "differs" in text
    assert text.endswith("Nothing is odd.\n")


@pytest.mark.parametrize("name", DatasetName)
def test_an_empty_folder_is_told_the_layout(name, tmp_path):
    with pytest.raises(DatasetError) as refused:
        check_dataset(name, tmp_path)
    assert LAYOUTS[name] in refused.value.expected


@pytest.mark.parametrize(
    ("found", "published", "agrees"),
    [(888, 888, True), (887, 888, False), (928_020, 928_000, True), (929_000, 928_000, False), (4.0, None, None)],
)
def test_a_count_agrees_up_to_the_rounding_of_the_published_one(found, published, agrees):
    assert CountLine("scans", found, published).agrees is agrees


def test_nothing_usable_ends_with_exit_code_1(tmp_path):
    write_deeplesion(tmp_path, scene(), 39, [deeplesion_row(Spacing_mm_px_="0, 0, 2.0")])
    report = check_dataset(DatasetName.DEEPLESION, tmp_path)
    assert (report.usable_cases, report.exit_code) == (0, 1)


def test_odd_rows_are_listed_by_kind_up_to_a_limit_and_completely_in_a_file(tmp_path):
    rows = [deeplesion_row(), *(deeplesion_row(key_slice=60 + number, Slice_range="39, 90") for number in range(5))]
    write_deeplesion(tmp_path / "data", scene(), 39, [*rows, deeplesion_row(Possibly_noisy="1")])
    report = check_dataset(DatasetName.DEEPLESION, tmp_path / "data")
    text = render(report, odd_limit=2)
    assert "5 x image missing (skipped):\n  DL_info.csv line 3: 000001_01_01/060.png is not there\n" in text
    assert "  ... and 3 more\n" in text
    assert "left out: 1 x possibly noisy lesion" in text
    write_odd(report, tmp_path / "odd.csv")
    write_odd(report, tmp_path / "odd.json")
    with (tmp_path / "odd.csv").open(newline="") as file:
        from_csv = list(csv.DictReader(file))
    assert from_csv == json.loads((tmp_path / "odd.json").read_text())
    assert len(from_csv) == 5
    assert from_csv[4] == {
        "place": "DL_info.csv line 7",
        "oddity": "image missing",
        "detail": "000001_01_01/064.png is not there",
        "effect": "skipped",
    }


def test_the_manual_test_set_beside_deeplesion_is_checked_too(tmp_path):
    write_deeplesion(tmp_path, scene())
    sub_volume = ManualSubVolume(TestSetPart.TEST, "000001_01_01_039-052", np.asarray([[10.0, 10, 40, 20, 20, 44]]))
    write_pickle(tmp_path / MANUAL_FILE, [sub_volume])
    report = check_dataset(DatasetName.DEEPLESION, tmp_path)
    assert [section.title for section in report.sections] == ["deeplesion", "manual test set"]
    assert report.usable_cases == 2
    (tmp_path / "DL_info.csv").unlink()
    alone = check_dataset(DatasetName.DEEPLESION, tmp_path)
    assert [section.title for section in alone.sections] == ["manual test set"]
    assert alone.exit_code == 1
    assert f"There is no DeepLesion in {tmp_path}." in render(alone)


def test_reading_the_voxels_finds_a_damaged_slice_and_drops_its_scan(tmp_path):
    write_deeplesion(tmp_path, scene())
    (tmp_path / "Images_png" / "000001_01_01" / "050.png").write_bytes(b"")
    assert check_dataset(DatasetName.DEEPLESION, tmp_path).exit_code == 0
    report = check_dataset(DatasetName.DEEPLESION, tmp_path, reads_voxels=True)
    assert report.exit_code == 1
    assert "050.png in 000001_01_01 is truncated" in render(report)
    assert report.sections[0].reading.skipped == {"file that cannot be read": 1}


def test_reading_the_voxels_notes_a_patient_who_lies_the_wrong_way_and_a_scan_of_air(tmp_path):
    mirrored = Volume(np.ascontiguousarray(scene().voxels[:, ::-1]), scene().geometry)
    write_luna16(tmp_path, mirrored)
    assert "the bones lie in front" in render(check_dataset(DatasetName.LUNA16, tmp_path, reads_voxels=True))
    air = Volume(np.full_like(mirrored.voxels, -1000), mirrored.geometry)
    write_luna16(tmp_path, air)
    report = check_dataset(DatasetName.LUNA16, tmp_path, reads_voxels=True)
    assert "shows no body, only air" in render(report)
    assert report.exit_code == 0


def test_a_broken_row_of_luna16_is_in_the_report(tmp_path):
    write_luna16(tmp_path, scene())
    header = dict.fromkeys(("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm"), "?")
    write_table(tmp_path / "annotations.csv", [header])
    assert "1 x row that contradicts itself (skipped):" in render(check_dataset(DatasetName.LUNA16, tmp_path))


@pytest.mark.real_data
def test_deeplesion_without_its_images_is_reported_with_the_counts_of_the_manual_test_set(real_data):
    report = check_dataset(DatasetName.DEEPLESION, real_data / "deeplesion_manual")
    assert [line.what for line in report.sections[0].lines if line.agrees is False] == ["usable sub-volumes"]
    assert report.exit_code == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mask_that_is_flipped_against_its_scan_is_named_with_the_axis(axis, tmp_path):
    full = scene((40, 64, 112))
    empty = np.where(full.voxels > BRIGHT_ABOVE_HU, 60, -1000).astype(np.int16)  # nothing but the lesion in air
    write_lits(tmp_path, full, RAS, RAS)
    save_nifti(tmp_path / "volume-7.nii", np.flip(empty, axis), full.geometry)
    report = check_dataset(DatasetName.LITS, tmp_path, reads_voxels=True)
    (found,) = [item for item in report.odd if item.oddity is Oddity.ODD_LABELS]
    assert found.place == "lits-007"
    assert "the first (liver) with a median of -1000 HU where -50 to 250 are plausible" in found.detail
    assert f"mirrored {AXES[axis]}, all would be" in found.detail
    expected = "liver: -1000 (5 to 95 %: -1000 to -1000) in 1 labels, 1 outside the plausible -50 to 250"
    assert expected in render(report)


FLIPS = {DatasetName.LUNA16: 0, DatasetName.LITS: 1, DatasetName.NIH_LN: 2}


@pytest.mark.parametrize(("name", "axis"), FLIPS.items())
def test_a_data_set_is_named_whose_masks_are_all_flipped_onto_other_tissue(name, axis, tmp_path):
    write_phantoms(name, tmp_path, (axis,))
    report = check_dataset(name, tmp_path, reads_voxels=True)
    (found,) = [item for item in report.odd if item.oddity is Oddity.MIRRORED_LABELS]
    assert found.place == name.value
    assert re.match(rf"mirrored {AXES[axis]}, \d\d of \d\d labels would look more like lesions: masks", found.detail)
    assert re.search(rf"\n  {AXES[axis]}: \d\d of \d\d\n", render(report))


@pytest.mark.parametrize("name", FLIPS)
def test_a_data_set_whose_masks_lie_right_raises_no_alarm(name, tmp_path):
    write_phantoms(name, tmp_path, ())
    report = check_dataset(name, tmp_path, reads_voxels=True)
    assert not [item for item in report.odd if item.oddity is Oddity.MIRRORED_LABELS]
    assert re.search(rf"\n  {AXES[0]}: \d+ of \d\d\n", render(report))


def test_one_flipped_scan_of_many_labels_is_named_alone(tmp_path):
    write_phantoms(DatasetName.LITS, tmp_path, ())
    parts = phantom_scans("liver")[:6]
    tall = np.concatenate([part.volume.voxels for part in parts])
    mask = np.concatenate([np.where(part.instances, 2, 0) for part in parts]).astype(np.int16)
    geometry = replace(parts[0].volume.geometry, shape=tall.shape)
    save_nifti(tmp_path / "volume-3.nii", np.flip(tall, 1), geometry)
    save_nifti(tmp_path / "segmentation-3.nii", mask, geometry)
    report = check_dataset(DatasetName.LITS, tmp_path, reads_voxels=True)
    (found,) = [item for item in report.odd if item.oddity is Oddity.MIRRORED_LABELS]
    assert found.place == "lits-003"
    assert found.detail.startswith("mirrored from front to back, ")


def test_the_shell_says_that_masks_are_flipped(tmp_path):
    write_phantoms(DatasetName.LITS, tmp_path, (2,))
    result = CliRunner().invoke(app, ["data", "check", "lits", str(tmp_path), "--voxels"])
    assert result.exit_code == 0
    assert "1 x labels that look mirrored (kept):\n  lits: mirrored from right to left, " in result.stdout


def test_labels_on_plausible_voxels_are_summed_up_by_type_and_not_odd(tmp_path):
    write_soft(DatasetName.NIH_LN, tmp_path)
    report = check_dataset(DatasetName.NIH_LN, tmp_path, reads_voxels=True)
    assert report.odd == ()
    assert "lymph node: 60 (5 to 95 %: 60 to 60) in 1 labels, 0 outside" in render(report)
    assert "median HU" not in render(check_dataset(DatasetName.NIH_LN, tmp_path))


def test_subsets_that_are_not_there_are_counted(tmp_path):
    write_luna16(tmp_path, scene())
    (section,) = check_dataset(DatasetName.LUNA16, tmp_path).sections
    (line,) = [line for line in section.lines if line.what == "subsets"]
    assert (line.found, line.published, line.agrees) == (1, 10, False)
