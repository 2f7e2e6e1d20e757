"""Mining: how its time grows with the slices of a series, and its time and memory with the patients of a project.

The figures of a project are those of a fresh process (`python -m benchmarks.mining.cost FOLDER`), which does
what the steps of a mining job do behind the embeddings, and prints its seconds on the wall and of all cores, and its
peak in bytes. Seconds of all cores are compared: other programs matter less to them.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.conditions import ensure_environment
from benchmarks.measure import Growth, compare, peak_of_this_process
from benchmarks.mining.detected_patients import NETWORK, VERSION, make_project
from lens_engine.findings import FUSED, SliceBox
from lens_engine.lesion_embedding.vector_files import VectorFiles
from lens_engine.mining.calibration import CalibratedLimit
from lens_engine.mining.candidates import mine
from lens_engine.mining.inputs import AnnotationOnSeries, SeriesMiningInput
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.tracklets import build_tracklets
from lens_engine.project import Project
from lens_engine.proposals import Proposals
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.tasks.mining import calibrate_rules, mine_patients, store_candidates
from lens_engine.tasks.mining_files import MiningFiles
from lens_engine.tasks.mining_inputs import MiningInputs
from lens_engine.worker.messages import CalibrateRules, MinePatients, StoreCandidates
from lens_engine.worker.steps import batches_of_patients

SHORT, LONG = 100, 1000
EXPERTS = ("universal", "lung", "liver", FUSED)
BOXES = 12
"""Boxes of each expert on a slice."""
LESION_SLICES = 6


FEW, MANY, ALL = 10, 200, 4427
"""Patients of a project; the last are those of DeepLesion."""


def growth(full: bool) -> list[Growth]:
    """Return the rows of one series, linking alone and all rules, and those of a project; `full` is all patients."""
    return [*_growth_of_a_series(), *_growth_of_a_project(MANY), *(_growth_of_a_project(ALL) if full else [])]


def main() -> None:
    """Mine a project and print what it cost."""
    ensure_environment()
    folder = Path(sys.argv[1])
    database = Database.open(Project.open(folder))
    wall, cores = time.perf_counter(), time.process_time()
    candidates = _mine(database, folder / "job")
    print(time.perf_counter() - wall, time.process_time() - cores, peak_of_this_process(), candidates)


@dataclass(frozen=True, slots=True)
class _Cost:
    """What mining a project took."""

    boxes: int
    wall_seconds: float
    core_seconds: float
    peak_bytes: int


def _growth_of_a_project(patients: int) -> list[Growth]:
    few, many = _cost(FEW), _cost(patients)
    print(
        f"{patients} patients, {many.boxes} fused boxes: {many.wall_seconds:.0f} s, {many.core_seconds:.0f} s of all "
        f"cores, {many.peak_bytes / 2**30:.2f} GiB",
        flush=True,
    )
    words, more = f"{FEW} patients", f"{patients} patients"
    times = few.core_seconds / FEW * 1e3, many.core_seconds / patients * 1e3
    return [
        Growth("time per patient, mining a project", words, times[0], more, times[1], "ms", 1.3),
        Growth("peak memory, mining a project", words, few.peak_bytes / 1e6, more, many.peak_bytes / 1e6, "MB", 2.0),
    ]


def _cost(patients: int) -> _Cost:
    with tempfile.TemporaryDirectory() as folder:
        boxes = make_project(Path(folder), patients)
        command = [sys.executable, "-m", "benchmarks.mining.cost", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    wall, cores, peak, _ = done.stdout.split()
    return _Cost(boxes, float(wall), float(cores), int(peak))


def _mine(database: Database, job: Path) -> int:
    """Do what the job does behind its embedding steps, and return how many candidates there are."""
    vectors = VectorFiles(job / "embeddings", NETWORK, VERSION)
    source, files = MiningInputs(database, vectors, VERSION), MiningFiles(job / "mined")
    records = Catalog(database).all_series()
    limit = CalibrateRules(series_ids=tuple(record.id for record in records), model_version=VERSION)
    calibrate_rules(source, files, limit, _ignore, None)
    batches = batches_of_patients(records)
    for number, ids in enumerate(batches):
        patients = MinePatients(batch=number, series_ids=tuple(ids), model_version=VERSION)
        mine_patients(source, files, patients, _ignore)
    store = StoreCandidates(
        batches=len(batches), series=len(records), model_version=VERSION, begun_at=datetime.now(UTC)
    )
    return store_candidates(database, files, store, _ignore).candidates


def _ignore(done: int, total: int) -> None:
    """Tell nobody how far it is."""


def _growth_of_a_series() -> list[Growth]:
    settings, limit = MiningSettings(), CalibratedLimit(0.15, 0, False, "")
    series = {slices: _series(slices) for slices in (SHORT, LONG)}
    return [
        _growth("tracklets", lambda slices: build_tracklets(series[slices].proposals, settings)),
        _growth("candidates", lambda slices: mine([series[slices]], settings, limit)),
    ]


def _growth(name: str, run: Callable[[int], object]) -> Growth:
    row = compare(name, "", lambda: run(SHORT), lambda: run(LONG)).per_piece(SHORT, LONG)
    costs = row.baseline_seconds * 1e3, row.ours_seconds * 1e3
    return Growth(f"time per slice, mining, {name}", f"{SHORT} slices", costs[0], f"{LONG} slices", costs[1], "ms", 1.5)


def _series(slices: int) -> SeriesMiningInput:
    """Return a series whose lesions, some marked, are seen on a few slices each and drift a little."""
    generator = np.random.default_rng(0)
    grid = np.repeat(np.arange(slices), BOXES)
    lesion = grid // LESION_SLICES * BOXES + np.tile(np.arange(BOXES), slices)
    corners = generator.uniform(0, 480, (lesion.max() + 1, 2))[lesion] + generator.normal(0, 0.5, (len(lesion), 2))
    boxes = np.concatenate([corners, corners + 20], axis=1).astype(np.float32)
    looks = generator.normal(size=(len(grid), 16))
    proposals = Proposals(
        EXPERTS,
        2.0,
        2.0,
        np.repeat(np.arange(len(EXPERTS)), len(grid)).astype(np.int16),
        np.tile(grid, len(EXPERTS)).astype(np.int32),
        np.tile(boxes, (len(EXPERTS), 1)),
        generator.uniform(0, 0.6, len(EXPERTS) * len(grid)).astype(np.float32),
        (looks / np.linalg.norm(looks, axis=1, keepdims=True)).astype(np.float32),
    )
    marks = tuple(_mark(row, int(grid[row]), boxes[row]) for row in range(0, len(grid), 50 * BOXES))
    return SeriesMiningInput(1, 1, 1, slices, proposals, annotations=marks)


def _mark(number: int, slice_index: int, box: np.ndarray) -> AnnotationOnSeries:
    x1, y1, x2, y2 = (float(value) for value in box)
    whole = (x1, y1, float(slice_index), x2, y2, float(slice_index + 1))
    return AnnotationOnSeries(number, whole, (SliceBox(slice_index, (x1, y1, x2, y2)),), slice_index)


if __name__ == "__main__":
    main()
