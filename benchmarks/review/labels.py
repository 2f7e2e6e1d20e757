"""The counts that the retrain panel shows, against composing the snapshot that they are about."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert

from benchmarks.measure import Comparison, compare
from lens_engine.findings import CandidateKind, Scope, SliceBox, Split, Verdict
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.series_source import SeriesFormat
from lens_engine.project import Project
from lens_engine.snapshot import LabelSet
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.labels.snapshots import Snapshots, counts_of
from lens_engine.store.schema import (
    AnnotationRow,
    CandidateRow,
    DecisionRow,
    MiningRunRow,
    PatientRow,
    ReaderRow,
    RootRow,
    SeriesRow,
    StudyRow,
    box_values,
)

CANDIDATES_OF_SERIES = 10
SHAPE = (120, 512, 512)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def run(*, full: bool) -> list[Comparison]:
    """Return the comparison."""
    series = 10_000 if full else 1_000
    with reviewed_project(series) as database:
        snapshots = Snapshots(database)
        counted, composed = snapshots.counts(LabelSet.CURATED), counts_of(snapshots.compose(LabelSet.CURATED))
        if counted != composed:
            raise ValueError(f"the plan has {counted}, the snapshot {composed}: its time means nothing")
        row = compare(
            f"what a retraining learns, {series * CANDIDATES_OF_SERIES} decisions, {series} series",
            "the snapshot",
            lambda: snapshots.compose(LabelSet.CURATED),
            lambda: snapshots.counts(LabelSet.CURATED),
            repeats=1 if full else 3,
        )
    return [row.wanted(10.0, "the same counts")]


@contextmanager
def reviewed_project(series: int) -> Iterator[Database]:
    """Yield a project in which every candidate of an earlier mining was decided and every second one came back."""
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        database = Database.create(Project.create(Path(folder)))
        Catalog(database).add_dataset("universal", Scope.UNIVERSAL)
        with database.session() as session:
            session.execute(insert(ReaderRow), [{"id": 1, "name": "Reader A"}])
            session.execute(insert(RootRow), [{"id": 1, "name": "scans", "path": "/scans"}])
            session.execute(
                insert(MiningRunRow),
                [{"id": run, "model_version": "v1", "created_at": NOW, "whole_at": NOW} for run in (1, 2)],
            )
            for table, rows in _rows(series, generator).items():
                session.execute(insert(table), rows)
        yield database
        database.close()


def _rows(series: int, generator: np.random.Generator) -> dict[Any, list[dict[str, Any]]]:
    tables: dict[Any, list[dict[str, Any]]] = {
        table: [] for table in (PatientRow, StudyRow, SeriesRow, AnnotationRow, CandidateRow, DecisionRow)
    }
    geometry = VolumeGeometry(SHAPE, (2.0, 0.8, 0.8)).as_dict()
    for key in range(1, series + 1):
        split = (Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.VAL, Split.TEST)[key % 5]
        tables[PatientRow].append({"id": key, "key_hash": f"p{key}", "number": key, "split": split, "created_at": NOW})
        tables[StudyRow].append({"id": key, "patient_id": key, "key_hash": f"s{key}", "number": 1})
        tables[SeriesRow].append(_series(key, geometry))
        places = [_box(generator) for _ in range(CANDIDATES_OF_SERIES)]
        tables[AnnotationRow] += [_annotation(key, number, _box(generator)) for number in range(3)]
        tables[CandidateRow] += [_candidate(key, 1, place) for place in places]
        tables[CandidateRow] += [_candidate(key, 2, _near(place, generator)) for place in places[::2]]
        tables[CandidateRow] += [_candidate(key, 2, _box(generator)) for _ in places[::2]]
        for place in places:
            verdict = (Verdict.ACCEPTED, Verdict.REJECTED, Verdict.REJECTED, Verdict.UNSURE)[generator.integers(4)]
            tables[DecisionRow].append(_decision(key, verdict, place))
    first_run = [row for row in tables[CandidateRow] if row["mining_run_id"] == 1]
    for number, row in enumerate(tables[CandidateRow], 1):
        row["id"] = number
    for decision, candidate in zip(tables[DecisionRow], first_run, strict=True):
        decision["candidate_id"] = candidate["id"]
    return tables


def _series(key: int, geometry: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": key,
        "study_id": key,
        "dataset_id": 1,
        "key_hash": f"s{key}",
        "number": 1,
        "name": f"series {key}",
        "is_named_by_source": False,
        "description": "",
        "geometry": geometry,
        "source_format": SeriesFormat.NIFTI.value,
        "root_id": 1,
        "paths": [f"{key}.nii.gz"],
        "is_complete": False,
        "created_at": NOW,
    }


def _annotation(series: int, number: int, box: tuple[float, ...]) -> dict[str, Any]:
    return {
        "series_id": series,
        "digest": f"{series} {number}",
        "role": AnnotationRole.LABEL,
        "origin": AnnotationOrigin.DRAWN,
        "is_noisy": False,
        "source_file": "",
        "revision": 1,
        "created_at": NOW,
        **_place(box),
    }


def _candidate(series: int, mining_run: int, box: tuple[float, ...]) -> dict[str, Any]:
    return {
        "series_id": series,
        "mining_run_id": mining_run,
        "kind": CandidateKind.MISSING_ANNOTATION,
        "priority": 0.5,
        "expert": "universal",
        "score": 0.5,
        "expert_scores": {"universal": 0.5},
        "reasons": [],
        **_place(box),
    }


def _decision(series: int, verdict: Verdict, box: tuple[float, ...]) -> dict[str, Any]:
    return {
        "series_id": series,
        "reader_id": 1,
        "verdict": verdict,
        "round": 1,
        "scores_hidden": False,
        "decided_at": NOW,
        **_place(box),
    }


def _place(box: tuple[float, ...]) -> dict[str, Any]:
    x1, y1, z1, x2, y2, z2 = box
    sections = tuple(SliceBox(index, (x1, y1, x2, y2), 0.5) for index in range(int(z1), int(z2)))
    return box_values((x1, y1, z1, x2, y2, z2), sections)


def _box(generator: np.random.Generator) -> tuple[float, ...]:
    low = generator.uniform((50, 50, 5), (400, 400, 100))
    return (*low.tolist(), *(low + generator.uniform((8, 8, 2), (60, 60, 12))).tolist())


def _near(box: tuple[float, ...], generator: np.random.Generator) -> tuple[float, ...]:
    shift = np.tile(generator.normal(0, 1, 3), 2)
    return tuple((np.asarray(box) + shift).tolist())
