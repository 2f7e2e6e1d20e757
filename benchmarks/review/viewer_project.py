"""A project with one series of many boxes, for measuring the viewer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn
from lens_engine.findings import FUSED, Candidate, CandidateKind, Finding, Reason, Rule, Scope, SliceBox, Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.series import SeriesFormat, SeriesSource
from lens_engine.project import Project
from lens_engine.proposals import Proposals, SeriesDetections
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog, NewSeries
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.store.models.model_versions import Models

EXPERTS = ("universal", "lung", "liver", "lymph node")
SPACING_MM = (2.0, 0.8, 0.8)
SLICES_OF_LESION = 5
CANDIDATES = 60
"""Lesions that wait for a verdict, however many boxes there are besides."""


def make_viewer_project(folder: Path, shape: tuple[int, int, int], rectangles: int) -> Path:
    """Make a project of one series of `shape` with so many rectangles; return the folder that opens it."""
    generator = np.random.default_rng(0)
    database = Database.create(Project.create(folder / "project"))
    catalog = Catalog(database)
    catalog.add_dataset("universal", Scope.UNIVERSAL)
    version = register_model(database, folder / "checkpoint")
    series_id = _add_series(catalog, folder / "scan.nii", shape)
    groups = (*EXPERTS, FUSED, "annotations")
    lesions = max(1, (rectangles // SLICES_OF_LESION - CANDIDATES) // len(groups))
    findings = {group: [_finding(group, shape, generator) for _ in range(lesions)] for group in groups}
    Annotations(database).add(
        [
            NewAnnotation(series_id, one.box, one.slices, AnnotationRole.LABEL, AnnotationOrigin.DRAWN)
            for one in findings.pop("annotations")
        ]
    )
    detections = SeriesDetections(_no_proposals(), tuple(one for many in findings.values() for one in many))
    Detections(database).write(series_id, version, detections)
    reason = Reason(Rule.CROSS_DATASET, expert="liver", score=0.81)
    candidates = [
        Candidate(series_id, replace(finding, expert_scores={"liver": 0.81}), CandidateKind.UNCERTAIN, (reason,))
        for finding in (_finding(FUSED, shape, generator) for _ in range(CANDIDATES))
    ]
    Candidates(database).replace_open(version, candidates, [1 - i / (CANDIDATES + 1) for i in range(CANDIDATES)])
    database.close()
    return folder / "project"


def register_model(database: Database, folder: Path) -> str:
    """Give a project a model without weights, which is in use from then on; return its version."""
    version = Models(database).register(_checkpoint(folder)).version
    Models(database).promote(version)
    return version


def body(shape: tuple[int, int, int]) -> NDArray[np.int16]:
    """Return the HU of a round body with noise."""
    depth, height, width = shape
    generator = np.random.default_rng(1)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    voxels = np.where((x / 0.8) ** 2 + (y / 0.6) ** 2 < 1, 40, -1000).astype(np.int16)
    voxels[((np.abs(x) - 0.35) / 0.2) ** 2 + (y / 0.35) ** 2 < 1] = -800
    noise = generator.integers(-25, 26, (8, height, width), dtype=np.int16)
    return np.stack([voxels + noise[z % 8] for z in range(depth)])


def _add_series(catalog: Catalog, path: Path, shape: tuple[int, int, int]) -> int:
    image = sitk.GetImageFromArray(body(shape))
    image.SetSpacing(SPACING_MM[::-1])
    sitk.WriteImage(image, str(path))
    new = NewSeries(
        patient_key="patient",
        study_key="study",
        series_key="series",
        first_slice_number=1,
        last_slice_number=shape[0],
        geometry=VolumeGeometry(shape, SPACING_MM),
        source=SeriesSource(SeriesFormat.NIFTI, (path.resolve(),)),
    )
    return catalog.add_series(new, "universal", Split.TRAIN)[0].id


def _finding(expert: str, shape: tuple[int, int, int], generator: np.random.Generator) -> Finding:
    depth, height, width = shape
    first = int(generator.integers(0, depth - SLICES_OF_LESION))
    x, y = generator.uniform(0.25, 0.7, 2) * (width, height)
    w, h = generator.uniform(10, 40, 2)
    box = (float(x), float(y), float(x + w), float(y + h))
    slices = tuple(SliceBox(first + i, box) for i in range(SLICES_OF_LESION))
    extent = (box[0], box[1], float(first), box[2], box[3], float(first + SLICES_OF_LESION))
    return Finding(expert, extent, slices, float(generator.uniform(0.3, 1.0)))


def _checkpoint(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"no weights are needed to look at boxes")
    card = CheckpointCard(experts=EXPERTS, trained_on=TrainedOn.PHANTOMS, notice="Not trained on patients.")
    (folder / "card.json").write_text(card.model_dump_json(), encoding="utf-8")
    return folder


def _no_proposals() -> Proposals:
    return Proposals(
        experts=(*EXPERTS, FUSED),
        grid_spacing_mm=2.0,
        slice_spacing_mm=SPACING_MM[0],
        expert_index=np.zeros(0, np.int16),
        grid_index=np.zeros(0, np.int32),
        boxes=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        embeddings=np.zeros((0, 0), np.float32),
    )
