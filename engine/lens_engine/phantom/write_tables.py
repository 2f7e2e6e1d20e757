"""Writes what is known about phantom scans: a DeepLesion-style csv, the manual test set's pickle and the full truth.

The csv counts pixels and slices from 1, as DeepLesion does; the pickle has inclusive whole numbers (algorithms 1.3 and
1.5).
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lens_engine.boxes import clip, pad_in_plane
from lens_engine.findings import Split
from lens_engine.io.annotations.deeplesion_csv import COLUMNS
from lens_engine.io.annotations.imported import TestSetPart
from lens_engine.io.annotations.manual_test_set import ManualSubVolume, rows_from_boxes, write_pickle
from lens_engine.io.tables import write_text_table
from lens_engine.phantom.patient import GENERATOR_VERSION, PhantomLesion, PhantomPatient, PhantomSeries

BOX_MARGIN_PIXELS = 5.0
CONTEXT_MM = 30.0
SPLIT_NUMBERS = {Split.TRAIN: 1, Split.VAL: 2, Split.TEST: 3}
_COARSE_TYPES = {"bone": 1, "abdomen": 2, "mediastinum": 3, "liver": 4, "lung": 5, "kidney": 6, "soft tissue": 7}
_UNTYPED = -1


@dataclass(frozen=True, slots=True)
class TrueSeries:
    """Everything about a scan but its voxels; `file` is relative to the folder of the cohort."""

    name: str
    dataset: str
    split: Split
    file: str
    patient: int
    seed: int
    sex: str
    age: int
    study: int
    series: int
    kernel: str
    phase: str
    study_date: str
    geometry: dict[str, Any]
    lesions: tuple[PhantomLesion, ...]

    @property
    def sub_volume_name(self) -> str:
        """The name with the first and last slice number, as the manual test set has it."""
        return f"{self.name}_{1:03d}-{self.geometry['shape'][0]:03d}"


def without_voxels(name: str, patient: PhantomPatient, series: PhantomSeries, split: Split, file: str) -> TrueSeries:
    """Return what the tables need of a scan written to `file`, so that its voxels can be freed."""
    return TrueSeries(
        name=name,
        dataset=patient.dataset,
        split=split,
        file=file,
        patient=patient.number,
        seed=patient.seed,
        sex=patient.sex,
        age=patient.age,
        study=series.study_number,
        series=series.series_number,
        kernel=series.kernel.value,
        phase=series.phase.value,
        study_date=series.study_date.isoformat(),
        geometry=series.volume.geometry.as_dict(),
        lesions=series.lesions,
    )


def series_name(patient: int, study: int, series: int) -> str:
    """Return the name under which all files call a scan."""
    return f"{patient:06d}_{study:02d}_{series:02d}"


def write_deeplesion_csv(path: Path, scans: Sequence[TrueSeries]) -> int:
    """Write one row for every labelled lesion and return how many."""
    rows = [row for scan in scans for row in _rows(scan)]
    write_text_table(path, COLUMNS, rows)
    return len(rows)


def write_manual_test_set(path: Path, scans: Sequence[TrueSeries]) -> int:
    """Write every lesion of the validation and test scans, marked or not, and return how many.

    The boxes are as loose as the published ones (algorithms 1.5): a detector that learns from RECIST boxes with their
    margin would otherwise miss every small lesion at IoBB 0.3.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sub_volumes = []
    for scan in scans:
        if scan.split is not Split.TRAIN:
            tight = np.array([lesion.box for lesion in scan.lesions], dtype=np.float64).reshape(-1, 6)
            boxes = clip(pad_in_plane(tight, BOX_MARGIN_PIXELS), tuple(scan.geometry["shape"]))
            rows = rows_from_boxes(boxes, int(scan.geometry["first_slice_number"]))
            sub_volumes.append(ManualSubVolume(TestSetPart(scan.split.value), scan.sub_volume_name, rows))
    write_pickle(path, sub_volumes)
    return sum(len(sub_volume.rows) for sub_volume in sub_volumes)


def write_truth(path: Path, scans: Sequence[TrueSeries]) -> None:
    """Write all that is true of all scans as JSON; half-open voxel edges, slices from 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "generator_version": GENERATOR_VERSION,
        "boxes": "x1, y1, z1, x2, y2, z2; half-open voxel edges; z from head to feet, slices from 0",
        "series": [{"sub_volume": scan.sub_volume_name, **asdict(scan)} for scan in scans],
    }
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def coarse_type(scan: TrueSeries, lesion: PhantomLesion) -> int:
    """Return DeepLesion's number of a lesion's type: nodes above the lower third of the chest are mediastinal."""
    if lesion.lesion_type == "lymph node":
        chest = scan.dataset == "lung" or (lesion.box[2] + lesion.box[5]) / 2 < scan.geometry["shape"][0] / 2
        return _COARSE_TYPES["mediastinum" if chest else "abdomen"]
    return _COARSE_TYPES[lesion.lesion_type]


def _rows(scan: TrueSeries) -> list[list[str]]:
    labelled = [lesion for lesion in scan.lesions if lesion.is_labelled]
    depth, height, width = scan.geometry["shape"]
    dz, dy, dx = scan.geometry["spacing_mm"]
    ranges = _context_ranges(labelled, depth, dz)
    rows = []
    for lesion, context in zip(labelled, ranges, strict=True):
        ends = np.asarray(lesion.recist) + 1  # pixels count from 1
        x, y = ends[0::2], ends[1::2]
        box = (
            x.min() - BOX_MARGIN_PIXELS,
            y.min() - BOX_MARGIN_PIXELS,
            x.max() + BOX_MARGIN_PIXELS,
            y.max() + BOX_MARGIN_PIXELS,
        )
        diameters = [math.dist(ends[i : i + 2], ends[i + 2 : i + 4]) for i in (0, 4)]
        centre = ((box[0] + box[2]) / 2 / width, (box[1] + box[3]) / 2 / height, (lesion.key_slice + 0.5) / depth)
        window = (-1500, 500) if lesion.lesion_type == "lung" else (-175, 275)
        kind = _UNTYPED if scan.split is Split.TRAIN else coarse_type(scan, lesion)
        number = lesion.key_slice + 1
        rows.append(
            [
                f"{scan.name}_{number:03d}.png",
                str(scan.patient),
                str(scan.study),
                str(scan.series),
                str(number),
                _numbers(ends),
                _numbers(box),
                _numbers(diameters),
                _numbers(centre),
                str(kind),
                "0",
                f"{context[0]}, {context[1]}",
                f"{dx:.6g}, {dy:.6g}, {dz:.6g}",
                f"{width}, {height}",
                f"{window[0]}, {window[1]}",
                scan.sex,
                str(scan.age),
                str(SPLIT_NUMBERS[scan.split]),
            ]
        )
    return rows


def _context_ranges(lesions: Sequence[PhantomLesion], depth: int, spacing_mm: float) -> list[tuple[int, int]]:
    """Return first and last slice number of each lesion's context; overlapping ones are merged (algorithms 1.3)."""
    wanted = []
    for lesion in lesions:
        half = math.ceil(max(CONTEXT_MM, lesion.diameter_mm / 2) / spacing_mm)
        number = lesion.key_slice + 1
        wanted.append((max(number - half, 1), min(number + half, depth)))
    merged: list[tuple[int, int]] = []
    for first, last in sorted(wanted):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return [next(span for span in merged if span[0] <= first <= span[1]) for first, _ in wanted]


def _numbers(values: Any) -> str:
    return ", ".join(f"{float(value):.6g}" for value in values)
