"""The phantom scans of the experiment as files: one cohort to learn from for each replicate, one to measure on."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lens_engine.boxes import clip, pad_in_plane
from lens_engine.findings import Box3D, SliceBox, Split, box_from_slices
from lens_engine.phantom.cohort import CohortPlan, PlannedPatient, write_cohort
from lens_engine.phantom.patient import DATASETS, UNIVERSAL, PhantomSettings
from lens_engine.phantom.write_tables import BOX_MARGIN_PIXELS
from lens_training.loop.design import LoopDesign

SINGLE_TYPE = DATASETS[1:]
_FIRST_TEST_NUMBER = 900_001
"""Patients of one project need distinct numbers; those to learn from count from 1."""


def training_cohort(design: LoopDesign, replicate: int) -> CohortPlan:
    """Plan the patients that one replicate learns from."""
    universal, single_type = (part.after(replicate).seeds for part in (design.universal, design.single_type))
    wanted = [(UNIVERSAL, seed, design.studies) for seed in universal]
    wanted += [(dataset, seed, 1) for dataset in SINGLE_TYPE for seed in single_type]
    patients = tuple(
        PlannedPatient(number, seed, dataset, Split.TRAIN, studies, is_nifti=True)
        for number, (dataset, seed, studies) in enumerate(wanted, 1)
    )
    return CohortPlan(patients, PhantomSettings(withheld_share=design.withheld_share))


def test_cohort(design: LoopDesign) -> CohortPlan:
    """Plan the patients that every detector is measured on."""
    patients = tuple(
        PlannedPatient(number, seed, UNIVERSAL, Split.TEST, is_nifti=True)
        for number, seed in enumerate(design.test.seeds, _FIRST_TEST_NUMBER)
    )
    return CohortPlan(patients)


def ensure_cohort(folder: Path, plan: CohortPlan) -> None:
    """Write a cohort to `folder` where there is none, completely or not at all; phantoms are equal every time.

    Raises
    ------
    ExportError
        If the disk refuses.
    """
    if folder.exists():
        return
    begun = folder.with_name(f"{folder.name}.begun")
    shutil.rmtree(begun, ignore_errors=True)
    write_cohort(begun, plan)
    begun.rename(folder)


@dataclass(frozen=True, slots=True)
class TrueSeries:
    """The complete truth of one series: tight 3D boxes, and the same lesions as a careful reader draws them.

    Attributes
    ----------
    drawn
        Boxes with the margin of RECIST marks, and their cross-sections.
    """

    boxes: tuple[Box3D, ...]
    drawn: tuple[tuple[Box3D, tuple[SliceBox, ...]], ...]


def truth_of(folder: Path, dataset: str) -> dict[str, TrueSeries]:
    """Return the truth of a data set of a cohort by series name."""
    truth = json.loads((folder / "truth" / "truth.json").read_text(encoding="utf-8"))
    return {item["sub_volume"]: _true_series(item) for item in truth["series"] if item["dataset"] == dataset}


def _true_series(item: dict[str, Any]) -> TrueSeries:
    shape = tuple(item["geometry"]["shape"][1:])
    boxes = tuple(tuple(lesion["box"]) for lesion in item["lesions"])
    drawn = []
    for lesion in item["lesions"]:
        sections = np.asarray([part["box"] for part in lesion["slices"]], dtype=np.float64)
        padded = clip(pad_in_plane(sections, BOX_MARGIN_PIXELS), shape)
        slices = tuple(
            SliceBox(part["slice_index"], tuple(box))
            for part, box in zip(lesion["slices"], padded.tolist(), strict=True)
        )
        drawn.append((box_from_slices(slices), slices))
    return TrueSeries(boxes, tuple(drawn))
