"""A small real project: synthetic scans as NIfTI, a tiny detector with random weights, and real worker processes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.checkpoints.checkpoint import save_checkpoint
from lens_engine.detector.config import BackboneConfig, DetectorConfig, HeadConfig, PostConfig, ProposalConfig
from lens_engine.findings import Scope, SliceBox, Split
from lens_engine.io.series import scan
from lens_engine.jobs.environment import process_environment
from lens_engine.jobs.launcher import worker_alive
from lens_engine.jobs.queue import DbosJobQueue, open_queue
from lens_engine.project import Project
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.catalog import Catalog, NewSeries
from lens_engine.store.database import Database
from lens_engine.store.models.model_versions import Models
from support.processes.waiting import FOR_EVER_SECONDS, wait_until

EXPERTS = ("universal", "lung")
SHAPE = (60, 64, 64)
LESION = (30.0, 28.0, 10.0, 38.0, 36.0, 14.0)
SPLITS = (Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.VAL, Split.TEST)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint with random weights that finds many boxes, fast."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def make_tiny_checkpoint(folder: Path) -> Path:
    """Write the checkpoint of `tiny_checkpoint` into a folder, and return that."""
    torch.manual_seed(1)
    config = DetectorConfig(
        experts=EXPERTS,
        pixel_mm=2.0,
        grid_mm=4.0,
        max_side=64,
        backbone=BackboneConfig(stem=8, growth=4, blocks=(1, 1, 1), fpn_channels=16),
        proposal=ProposalConfig(width=8, min_side=2.0, pre_nms=60, post_nms=20, train_pre_nms=60, train_post_nms=20),
        head=HeadConfig(fc_width=16),
        post=PostConfig(score_threshold=0.05, per_slice=5),
    )
    model = LensDetector(config).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.weight.normal_(0, module.weight[0].numel() ** -0.5)
        for network in model.proposal_networks():
            network.start_with_sides(5.0)
    save_checkpoint(model, CheckpointCard(trained_on=TrainedOn.NOTHING), folder)
    return folder


@pytest.fixture
def database(tmp_path: Path, tiny_checkpoint: Path) -> Iterator[Database]:
    """Return the database of a project with six scans of six patients, labels, complete truth, and model v1."""
    project = Project.create(tmp_path / "project")
    database = Database.create(project)
    catalog = Catalog(database)
    catalog.add_dataset("universal", Scope.UNIVERSAL)
    for number, split in enumerate(SPLITS):
        add_patient(database, tmp_path, number, split)
    models = Models(database)
    models.promote(models.register(tiny_checkpoint).version)
    yield database
    database.close()


@pytest.fixture
def jobs(database: Database) -> Iterator[DbosJobQueue]:
    """Return the job queue of the project."""
    queue = open_queue(database.project)
    yield queue
    queue.close()


@pytest.fixture
def start_worker(database: Database) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Return a function that starts a worker process; all are gone at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(executor_id: str = "worker-a", idle_seconds: float = 60.0) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "lens_engine.worker", "--project", str(database.project.folder)),
            *("--executor-id", executor_id, "--idle-minutes", str(idle_seconds / 60)),
        ]
        started.append(subprocess.Popen(command, env={**process_environment(), "OMP_NUM_THREADS": "1"}))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(FOR_EVER_SECONDS)


@pytest.fixture
def known_worker(database: Database, start_worker: Callable[..., subprocess.Popen[bytes]]) -> None:
    """Start a worker and wait until it is known: `lens` would start another one, which nobody ends."""
    start_worker()
    wait_until(lambda: worker_alive(database.project), "the worker is alive", look_seconds=0.2)


def add_patient(database: Database, folder: Path, number: int, split: Split) -> None:
    """Add a patient with one scan and one lesion; the scan of one that nobody learns from is complete."""
    path = folder / f"scan{number}.nii.gz"
    write_scan(path, number)
    (found,) = scan([path]).found
    new = NewSeries(
        patient_key=f"patient {number}",
        study_key=found.study_key,
        series_key=found.series_key,
        first_slice_number=found.first_slice_number,
        last_slice_number=found.last_slice_number,
        geometry=found.geometry,
        source=found.source,
    )
    catalog = Catalog(database)
    record, _ = catalog.add_series(new, "universal", split)
    role = AnnotationRole.LABEL if split is Split.TRAIN else AnnotationRole.REFERENCE
    Annotations(database).add([lesion(record.id, role)])
    if split is not Split.TRAIN:
        catalog.mark_complete(record.id, split.value)


def write_scan(path: Path, seed: int) -> None:
    """Write a body of water in air with one bright lesion."""
    noise = np.random.default_rng(seed).normal(0, 20, SHAPE)
    _, y, x = np.indices(SHAPE)
    hu = np.where((y - 32) ** 2 + (x - 32) ** 2 < 26**2, 30.0, -1000.0) + noise
    x1, y1, z1, x2, y2, z2 = (int(edge) for edge in LESION)
    hu[z1:z2, y1:y2, x1:x2] += 120.0
    image = sitk.GetImageFromArray(hu.round().astype(np.int16))
    image.SetSpacing((2.0, 2.0, 4.0))
    sitk.WriteImage(image, str(path))


def lesion(series_id: int, role: AnnotationRole) -> NewAnnotation:
    """Return the annotation of the lesion of `write_scan`."""
    x1, y1, z1, x2, y2, z2 = LESION
    slices = tuple(SliceBox(index, (x1, y1, x2, y2)) for index in range(int(z1), int(z2)))
    return NewAnnotation(series_id, LESION, slices, role, AnnotationOrigin.DRAWN)
