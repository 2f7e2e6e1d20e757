"""The project that a storm passes over: small scans, a tiny detector, and many places that wait for a reader."""

from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from support.projects.department import make_department
from support.projects.worker_project import SHAPE, add_patient, make_tiny_checkpoint

from lens_engine.findings import FUSED, Candidate, CandidateKind, Finding, Reason, Rule, SliceBox, Split
from lens_engine.project import Project
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.models.model_versions import Models
from lens_engine.store.new_project import create_project

SERIES = 6
SIDE = 3.0
"""Of the boxes that wait for a reader; they lie a voxel apart, so that no verdict is about two of them."""


def prepare(folder: Path, database_url: str | None) -> Project:
    """Make the project, on PostgreSQL where a URL says so."""
    folder.mkdir(parents=True, exist_ok=True)
    if database_url is None:
        database, _ = create_project(folder / "project", "soak")
    else:
        database = make_department(folder / "project", database_url)
    for number in range(SERIES):
        add_patient(database, folder, number, Split.TRAIN)
    models = Models(database)
    models.promote(models.register(make_tiny_checkpoint(folder / "checkpoint")).version)
    found = [one for series in Catalog(database).all_series() for one in _places(series)]
    run = Candidates(database)
    run.store_run(
        models.promoted().version, datetime.now(UTC), ((one, 1 - n / len(found)) for n, one in enumerate(found))
    )
    database.close()
    return database.project


def _places(series: SeriesRecord) -> list[Candidate]:
    """Return boxes all over a series, each on two slices."""
    depth, height, width = SHAPE
    step = int(SIDE) + 1
    corners = product(range(0, depth - 2, 4), range(8, height - 8, step), range(8, width - 8, step))
    return [_candidate(series.id, float(x), float(y), z) for z, y, x in corners]


def _candidate(series_id: int, x: float, y: float, z: int) -> Candidate:
    sections = tuple(SliceBox(index, (x, y, x + SIDE, y + SIDE)) for index in (z, z + 1))
    box = (x, y, float(z), x + SIDE, y + SIDE, float(z + 2))
    finding = Finding(FUSED, box, sections, 0.6, {"universal": 0.6, "lung": 0.7})
    return Candidate(
        series_id, finding, CandidateKind.UNCERTAIN, (Reason(Rule.CROSS_DATASET, expert="lung", score=0.7),)
    )
