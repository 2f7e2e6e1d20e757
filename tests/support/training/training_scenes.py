"""Small volumes with bright balls in them, and their labels: real arrays and files for the tests of the training."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK
import torch

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.config import BackboneConfig, DetectorConfig, HeadConfig, ProposalConfig
from lens_engine.findings import Scope, Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.snapshot import (
    LabelSet,
    Lesion,
    LesionOrigin,
    LesionRole,
    Snapshot,
    SnapshotSeries,
    SnapshotSource,
)
from lens_engine.volume import Volume
from lens_training.datasets.case import Case, TrainingSet
from lens_training.detector.planes import PlaneCache
from lens_training.recipes.recipe import AugmentationRecipe, Recipe, SamplingRecipe
from lens_training.running.schedule import ScheduleRecipe

EXPERTS = ("universal", "lung")
SPACING_MM = (4.0, 1.6, 1.6)
SIDE, DEPTH = 64, 12

TINY = DetectorConfig(
    experts=EXPERTS,
    pixel_mm=1.6,
    grid_mm=4.0,
    max_side=128,
    backbone=BackboneConfig(stem=8, growth=4, blocks=(1, 1, 1), fpn_channels=16),
    proposal=ProposalConfig(width=16, min_side=4, pre_nms=50, post_nms=20, train_pre_nms=50, train_post_nms=20),
    head=HeadConfig(fc_width=16),
)

RECIPE = Recipe(
    name="test",
    steps=4,
    schedule=ScheduleRecipe(learning_rate=1e-3),
    sampling=SamplingRecipe(batch_size=2, regions=16),
    augmentation=AugmentationRecipe(scale=(0.9, 1.1), shift=4),
    threads=1,
    log_every=1,
    checkpoint_every=2,
)


@dataclass(frozen=True)
class Ball:
    """Centre in voxels and diameter in pixels."""

    x: float
    y: float
    z: int
    diameter: float


def volume_with(*balls: Ball, seed: int = 0) -> Volume:
    voxels = np.random.default_rng(seed).normal(0, 10, (DEPTH, SIDE, SIDE))
    z, y, x = np.ogrid[:DEPTH, :SIDE, :SIDE]
    for ball in balls:
        distance = (x + 0.5 - ball.x) ** 2 + (y + 0.5 - ball.y) ** 2 + ((z - ball.z) * 2.5) ** 2
        voxels[distance <= (ball.diameter / 2) ** 2] += 500
    return Volume(voxels.astype(np.int16), VolumeGeometry((DEPTH, SIDE, SIDE), SPACING_MM))


def lesion_of(ball: Ball, role: LesionRole = LesionRole.POSITIVE, **changes: object) -> Lesion:
    """Label the ball on its central slice and the two beside it."""
    half = ball.diameter / 2
    box = (ball.x - half, ball.y - half, ball.x + half, ball.y + half)
    slices = tuple((index, *box) for index in range(ball.z - 1, ball.z + 2))
    values: dict[str, object] = {
        "series": "scan",
        "box": (box[0], box[1], ball.z - 1, box[2], box[3], ball.z + 2),
        "slices": slices,
        "role": role,
        "origin": LesionOrigin.ANNOTATION,
    }
    return Lesion.model_validate(values | changes)


def key_slice_lesion(ball: Ball) -> Lesion:
    """Label the ball on its central slice only, as DeepLesion does."""
    whole = lesion_of(ball)
    x1, y1, _, x2, y2, _ = whole.box
    return whole.model_copy(
        update={"box": (x1, y1, ball.z, x2, y2, ball.z + 1), "slices": (whole.slices[1],), "key_slice": ball.z}
    )


def case_of(dataset: str, *lesions: Lesion, volume: Volume | None = None) -> Case:
    scan = volume_with() if volume is None else volume
    return Case(f"{dataset}-scan", "patient", dataset, Split.TRAIN, scan.geometry, lesions, lambda: scan)


def set_of(*cases: Case, uses_unlabelled: bool = False) -> TrainingSet:
    scopes = {"universal": Scope.UNIVERSAL, "lung": Scope.SINGLE_TYPE}
    return TrainingSet(cases, scopes, uses_unlabelled)


def cache_of(training_set: TrainingSet) -> PlaneCache:
    return PlaneCache(training_set.cases, 2**28)


def tiny_model(seed: int = 0) -> LensDetector:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LensDetector(TINY)


BALLS = {"a": Ball(20, 24, 5, 12), "b": Ball(44, 40, 6, 16), "c": Ball(30, 30, 4, 10), "d": Ball(40, 22, 7, 14)}


def write_snapshot(folder: Path) -> Path:
    """Write four NIfTI scans with one ball each, two of each data set, and their snapshot."""
    entries = []
    for number, (name, ball) in enumerate(BALLS.items()):
        volume = volume_with(ball, seed=number)
        image = SimpleITK.GetImageFromArray(volume.voxels[::-1])  # files run from feet to head
        image.SetSpacing(SPACING_MM[::-1])
        SimpleITK.WriteImage(image, str(folder / f"{name}.nii.gz"))
        dataset = EXPERTS[number % 2]
        lesion = key_slice_lesion(ball) if dataset == "universal" else lesion_of(ball)
        entries.append(
            SnapshotSeries(
                name=name,
                dataset=dataset,
                split=Split.TRAIN,
                patient=f"{number:06d}",
                geometry=volume.geometry.as_dict(),
                source=SnapshotSource(format="nifti", paths=(f"{name}.nii.gz",), root="scans"),
                lesions=(lesion.model_copy(update={"series": name}),),
            )
        )
    snapshot = Snapshot(
        experts=EXPERTS,
        scopes=(Scope.UNIVERSAL, Scope.SINGLE_TYPE),
        series=tuple(entries),
        labels=LabelSet.ORIGINAL,
    )
    path = folder / "snapshot.json"
    snapshot.save(path)
    return path
