"""Key slices measured alone: what is read for one of them."""

from dataclasses import replace
from pathlib import Path

from support.files.published_data import deeplesion_row, save_pngs, scene, write_table
from support.training.training_scenes import Ball, case_of, key_slice_lesion, tiny_model, volume_with

from lens_training.datasets.published import deeplesion
from lens_training.datasets.published.reading import DEFAULT_OPTIONS
from lens_training.reproduction.case_detections import DetectionFiles
from lens_training.reproduction.measuring.measurer import Measurer

KEY_SLICE, FIRST = 40, 10
FAR = 8
"""Slices that no sample of the key slice shows."""
ONE, OTHER = Ball(24, 24, 5, 12), Ball(44, 40, 8, 12)


def test_only_the_slices_around_the_key_slice_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "Images_png" / "000001_01_01"
    save_pngs(folder, scene((60, 48, 64), (30, 12, 24, 46, 22, 36)), FIRST)
    row = deeplesion_row("000001_01_01", key_slice=KEY_SLICE, Slice_range="10, 69")
    write_table(tmp_path / "DL_info.csv", [row])
    (case,) = deeplesion.read(tmp_path, DEFAULT_OPTIONS, None).cases
    for path in folder.glob("*.png"):
        if abs(int(path.stem) - KEY_SLICE) > FAR:
            path.write_bytes(b"broken")
    assert Measurer(tiny_model().eval()).look_at_key_slices(case)


def test_what_was_found_on_other_key_slices_counts_as_missing(tmp_path: Path) -> None:
    before = case_of("universal", key_slice_lesion(ONE), volume=volume_with(ONE, OTHER))
    after = replace(before, lesions=(*before.lesions, key_slice_lesion(OTHER)))
    looked_at = Measurer(tiny_model().eval()).look_at_key_slices(before)
    for are_of_key_slices in (True, False):
        files = DetectionFiles(tmp_path / str(are_of_key_slices), "same", are_of_key_slices=are_of_key_slices)
        files.write(before, looked_at)
        assert files.has(before)
        assert files.has(after) is not are_of_key_slices
