"""A project with many lesions in many series, as a hospital has after its first mining, for measuring the worklist."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from sqlalchemy import insert, select

from benchmarks.review.viewer_project import EXPERTS, body, register_model
from lens_engine.findings import FUSED, Candidate, CandidateKind, Finding, Reason, Rule, Scope, SliceBox, Split, Verdict
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.series_source import SeriesFormat
from lens_engine.project import Project, new_settings
from lens_engine.store.audit.chain import COLUMNS, first_link, next_link
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.schema import CandidateRow, DecisionRow, PatientRow, ReaderRow, SeriesRow, StudyRow

SCAN = "scan.nii"
"""The scan that all series are, beside the project's folder."""
SHAPE = (60, 128, 128)
SPACING_MM = (5.0, 2.5, 2.5)
CANDIDATES_OF_SERIES = 10
DECIDED_SHARE = 0.1
NOW = datetime(2026, 1, 1, tzinfo=UTC)
VERDICTS = (Verdict.ACCEPTED, Verdict.REJECTED, Verdict.REJECTED, Verdict.UNSURE)


def make_worklist_project(
    folder: Path, series: int, decided_share: float = DECIDED_SHARE, database_url: str | None = None
) -> Path:
    """Make a project of so many series with ten candidates each, a share of them decided; return its folder.

    Parameters
    ----------
    database_url
        Of an empty PostgreSQL database; SQLite in the project's folder without it.

    All series are one and the same scan on disk: only the first ones are ever looked at.
    """
    generator = np.random.default_rng(0)
    settings = new_settings("worklist", database_url)
    database = Database.create(Project.create(folder / "project", settings=settings))
    for name in EXPERTS:
        Catalog(database).add_dataset(name, Scope.UNIVERSAL)
    version = register_model(database, folder / "checkpoint")
    image = sitk.GetImageFromArray(body(SHAPE))
    image.SetSpacing(SPACING_MM[::-1])
    sitk.WriteImage(image, str(folder / SCAN))
    Catalog(database).add_root(folder, "scans")
    _add_series(database, series)
    found = ((candidate, float(generator.random())) for candidate in _candidates(series, generator))
    Candidates(database).store_run(version, NOW, found)
    _decide(database, generator, decided_share)
    database.close()
    return folder / "project"


def _add_series(database: Database, count: int) -> None:
    keys = range(1, count + 1)
    geometry = VolumeGeometry(SHAPE, SPACING_MM).as_dict()
    common = {
        "number": 1,
        "is_named_by_source": False,
        "geometry": geometry,
        "source_format": SeriesFormat.NIFTI.value,
        "root_id": 1,
        "paths": [SCAN],
        "is_complete": False,
        "created_at": NOW,
    }
    patients = [
        {"id": key, "key_hash": f"p{key}", "number": key, "split": Split.TRAIN, "created_at": NOW} for key in keys
    ]
    studies = [{"id": key, "patient_id": key, "key_hash": f"s{key}", "number": 1} for key in keys]
    series = [
        {
            "id": key,
            "study_id": key,
            "dataset_id": 1 + key % len(EXPERTS),
            "key_hash": f"s{key}",
            "name": f"{key:06d}_01_01_001-060",
            "description": ("chest", "abdomen", "whole body")[key % 3],
            **common,
        }
        for key in keys
    ]
    with database.session() as session:
        for table, rows in ((PatientRow, patients), (StudyRow, studies), (SeriesRow, series)):
            session.execute(insert(table), rows)


def _candidates(series: int, generator: np.random.Generator) -> Iterator[Candidate]:
    rules = tuple(Rule)
    for series_id in range(1, series + 1):
        for number in range(CANDIDATES_OF_SERIES):
            low = generator.uniform((15, 15, 2), (90, 90, 40))
            x1, y1, z1 = (float(edge) for edge in (*low[:2], np.floor(low[2])))
            x2, y2, z2 = x1 + 12.0, y1 + 10.0, z1 + 9.0
            slices = tuple(SliceBox(index, (x1, y1, x2, y2), 0.5) for index in range(int(z1), int(z2)))
            scores = {EXPERTS[0]: 0.4, EXPERTS[1 + number % 3]: float(generator.uniform(0.3, 1.0))}
            finding = Finding(FUSED, (x1, y1, z1, x2, y2, z2), slices, max(scores.values()), scores)
            reason = Reason(rules[number % 3], distance=0.11, distance_limit=0.15, expert=EXPERTS[1], score=0.5)
            yield Candidate(series_id, finding, CandidateKind.UNCERTAIN, (reason,))


def _decide(database: Database, generator: np.random.Generator, share: float) -> None:
    edges = ("x1", "y1", "z1", "x2", "y2", "z2", "slices")
    with database.session() as session:
        session.execute(insert(ReaderRow), [{"name": "Reader A"}])
        rows = session.execute(
            select(CandidateRow.id, CandidateRow.series_id, *(getattr(CandidateRow, e) for e in edges))
        )
        said: list[dict[str, Any]] = [
            {
                "series_id": row.series_id,
                "candidate_id": row.id,
                "reader_id": 1,
                "verdict": VERDICTS[row.id % len(VERDICTS)],
                "round": 1,
                "scores_hidden": False,
                "decided_at": NOW,
                "comment": "",
                **{edge: getattr(row, edge) for edge in edges},
            }
            for row in rows
            if generator.random() < share
        ]
        link, nothing = first_link("Reader A"), dict.fromkeys(COLUMNS)
        for row in said:
            row["chain_hash"] = link = next_link(link, nothing | row)
        session.execute(insert(DecisionRow), said)
