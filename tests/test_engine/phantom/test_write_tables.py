import csv
import math
from itertools import pairwise

import numpy as np

from lens_engine.findings import Split
from lens_engine.io.annotations.deeplesion_csv import COLUMNS


def _rows(report) -> list[dict[str, str]]:
    (file,) = report.annotation_files["universal"]
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _numbers(cell: str) -> np.ndarray:
    return np.array([float(part) for part in cell.split(", ")])


def test_csv_has_the_eighteen_columns_in_order(small_cohort):
    (file,) = small_cohort.annotation_files["universal"]
    header = file.read_text(encoding="utf-8").splitlines()[0]
    assert header.split(",") == list(COLUMNS)
    assert len(COLUMNS) == 18


def test_boxes_of_the_csv_are_the_extremes_of_the_marks_and_five_pixels(small_cohort):
    for row in _rows(small_cohort):
        ends = _numbers(row["Measurement_coordinates"]).reshape(4, 2)
        box = _numbers(row["Bounding_boxes"])
        assert np.allclose(box, [*(ends.min(axis=0) - 5), *(ends.max(axis=0) + 5)], atol=2e-3)
        long_pixels, short_pixels = _numbers(row["Lesion_diameters_Pixel_"])
        assert math.dist(ends[0], ends[1]) - long_pixels < 2e-3
        assert short_pixels <= long_pixels + 1e-3


def test_rows_name_key_slice_and_context_of_their_scan(small_cohort):
    shapes = {series.name: series.geometry["shape"] for series in small_cohort.series}
    for row in _rows(small_cohort):
        name, slice_number = row["File_name"].removesuffix(".png").rsplit("_", 1)
        first, last = _numbers(row["Slice_range"])
        assert int(slice_number) == int(row["Key_slice_index"])
        assert 1 <= first <= int(slice_number) <= last <= shapes[name][0]
        assert name == f"{int(row['Patient_index']):06d}_{int(row['Study_index']):02d}_{int(row['Series_ID']):02d}"
        assert _numbers(row["Spacing_mm_px_"])[2] == 5


def test_overlapping_contexts_of_a_scan_are_merged(small_cohort):
    ranges: dict[str, set[tuple[float, ...]]] = {}
    for row in _rows(small_cohort):
        ranges.setdefault(row["File_name"][:12], set()).add(tuple(_numbers(row["Slice_range"])))
    for found in ranges.values():
        ordered = sorted(found)
        assert all(before[1] < after[0] for before, after in pairwise(ordered))


def test_types_are_withheld_from_training_rows_as_in_deeplesion(small_cohort):
    splits = {series.name: series.split for series in small_cohort.series}
    for row in _rows(small_cohort):
        split = splits[row["File_name"][:12]]
        assert (row["Coarse_lesion_type"] == "-1") is (split is Split.TRAIN)
        assert row["Train_Val_Test"] == {Split.TRAIN: "1", Split.VAL: "2", Split.TEST: "3"}[split]
