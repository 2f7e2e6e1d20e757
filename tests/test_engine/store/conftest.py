"""A real project in a temporary folder, and short ways to put things into it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.projects.store_samples import BOX, AddSeries, MakeCandidate, MakeDecision, new_series, sections

from lens_engine.findings import (
    FUSED,
    Box3D,
    Candidate,
    CandidateKind,
    Decision,
    Finding,
    Reason,
    Rule,
    Scope,
    Split,
    Verdict,
)
from lens_engine.project import Project
from lens_engine.store.candidates import CandidateRecord, Candidates
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.create(Project.create(tmp_path / "project"))
    Catalog(opened).add_dataset("universal", Scope.UNIVERSAL)
    yield opened
    opened.close()


@pytest.fixture
def add_series(database: Database) -> AddSeries:
    """Add a series with (imaginary) images; keys are equal to `key` unless given."""

    def add(key: str, split: Split | None = Split.TRAIN, dataset: str = "universal", **values: Any) -> SeriesRecord:
        return Catalog(database).add_series(new_series(key, **values), dataset, split)[0]

    return add


@pytest.fixture
def make_candidate() -> MakeCandidate:
    def make(
        series_id: int,
        box: Box3D = BOX,
        kind: CandidateKind = CandidateKind.MISSING_ANNOTATION,
        reason: Reason | None = None,
    ) -> Candidate:
        finding = Finding(FUSED, box, sections(box), 0.75, {"universal": 0.75, "lung": 0.25})
        return Candidate(series_id, finding, kind, (reason or Reason(Rule.CROSS_DATASET, expert="lung", score=0.5),))

    return make


@pytest.fixture
def make_decision() -> MakeDecision:
    def make(
        series_id: int, verdict: Verdict, candidate_id: int | None = None, box: Box3D = BOX, **values: Any
    ) -> Decision:
        defaults = {"reader": "Reader A", "decided_at": datetime(2026, 3, 1, 12, tzinfo=UTC)}
        return Decision(series_id, candidate_id, verdict, box, sections(box), **{**defaults, **values})

    return make


@pytest.fixture
def ask(database: Database, make_candidate: MakeCandidate) -> Callable[..., tuple[CandidateRecord, ...]]:
    """Store one mining run with a candidate for every box."""

    def store(series_id: int, *boxes: Box3D) -> tuple[CandidateRecord, ...]:
        candidates = [make_candidate(series_id, box) for box in boxes]
        Candidates(database).replace_open("v1", candidates, [0.5] * len(boxes))
        return Candidates(database).queue(split=None, include_decided=True)

    return store
