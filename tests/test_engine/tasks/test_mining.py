"""What mining knows of a series: its labels and what readers decided, each with its embedding."""

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from support.worker_project import LESION, lesion, write_scan

from lens_engine.findings import Decision, Rule, Scope, Split, Verdict, slices_of_box
from lens_engine.io.series import scan
from lens_engine.jobs.results import MineResult
from lens_engine.store.annotations import AnnotationRole, Annotations
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog, NewSeries
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.tasks.mining import Embeddings, lesions_of_series
from lens_engine.tasks.workbench import Workbench
from lens_engine.worker.messages import DetectSeries, EmbedAnnotations, MineSeries

FOUND = (20.0, 20.0, 30.0, 28.0, 28.0, 33.0)


def decide(database: Database, series_id: int, verdict: Verdict, box: tuple[float, ...] = FOUND) -> int:
    decided_at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    decision = Decision(series_id, None, verdict, box, slices_of_box(box), "Reader A", decided_at)
    return Decisions(database).add(decision).id


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.ADJUSTED, Verdict.ADDED])
def test_a_decided_lesion_is_known_with_its_embedding_beside_the_annotation_of_the_same_id(
    database: Database, tmp_path: Path, verdict: Verdict
) -> None:
    series = Catalog(database).all_series()[0]
    (label,) = Annotations(database).of_series(series.id, AnnotationRole.LABEL)
    assert decide(database, series.id, verdict) == label.id
    task = EmbedAnnotations(series_id=series.id, model_version="v1")
    bench = Workbench(database.project, tmp_path)
    assert bench.run(task, lambda *_: None) == {"annotations": 1, "decided": 1, "skipped": False}
    known = lesions_of_series(database, series.id, Embeddings(tmp_path / "embeddings").read(series.id))
    (marked,), (decided,) = known.annotations, known.decided
    assert (marked.box, decided.box) == (LESION, FOUND)
    assert marked.embedding is not None
    assert decided.embedding is not None
    assert np.linalg.norm(decided.embedding) == pytest.approx(1.0, abs=1e-5)
    assert not np.allclose(marked.embedding, decided.embedding)


@pytest.mark.parametrize("verdict", [Verdict.REJECTED, Verdict.UNSURE])
def test_what_was_not_decided_as_a_lesion_is_not_known(database: Database, tmp_path: Path, verdict: Verdict) -> None:
    series = Catalog(database).all_series()[0]
    decide(database, series.id, verdict)
    task = EmbedAnnotations(series_id=series.id, model_version="v1")
    result = Workbench(database.project, tmp_path).run(task, lambda *_: None)
    assert result == {"annotations": 1, "decided": 0, "skipped": False}


def test_embeddings_of_a_job_that_an_earlier_version_began_are_read(tmp_path: Path) -> None:
    vectors = np.eye(2, dtype=np.float32)
    np.savez(tmp_path / "4.npz", ids=np.asarray([7, 9]), vectors=vectors)
    stored = Embeddings(tmp_path).read(4)
    assert list(stored.annotations) == [7, 9]
    assert stored.decided == {}


def test_a_lesion_that_was_decided_after_the_embedding_is_known_without_one(database: Database, tmp_path: Path) -> None:
    series = Catalog(database).all_series()[0]
    Workbench(database.project, tmp_path).run(
        EmbedAnnotations(series_id=series.id, model_version="v1"), lambda *_: None
    )
    decide(database, series.id, Verdict.ADDED)
    known = lesions_of_series(database, series.id, Embeddings(tmp_path / "embeddings").read(series.id))
    assert [lesion.embedding for lesion in known.decided] == [None]


def test_single_type_experts_are_asked_at_thresholds_found_in_their_own_labelled_scans(
    database: Database, tmp_path: Path
) -> None:
    catalog, bench = Catalog(database), Workbench(database.project, tmp_path / "job")
    catalog.add_dataset("lung", Scope.SINGLE_TYPE, "lung")
    for number in range(2):
        path = tmp_path / f"lung{number}.nii.gz"
        write_scan(path, 10 + number)
        (found,) = scan([path]).found
        new = NewSeries(
            patient_key=f"lung {number}",
            study_key=found.study_key,
            series_key=found.series_key,
            first_slice_number=found.first_slice_number,
            last_slice_number=found.last_slice_number,
            geometry=found.geometry,
            source=found.source,
        )
        record, _ = catalog.add_series(new, "lung", Split.TRAIN)
        Annotations(database).add([lesion(record.id, AnnotationRole.LABEL)])
    ids = [record.id for record in catalog.all_series() if record.split is Split.TRAIN]
    for series_id in ids:
        for task in (DetectSeries, EmbedAnnotations):
            bench.run(task(series_id=series_id, model_version="v1"), lambda *_: None)
    mined = MineResult.model_validate(bench.run(MineSeries(series_ids=tuple(ids), model_version="v1"), lambda *_: None))
    # Random weights are sure of much: only a strict threshold leaves few false ones.
    (threshold,) = re.findall(r"Expert lung must be surer than (0\.\d+): in 2 labelled scans", mined.threshold_note)
    uncertain = [
        reason
        for record in Candidates(database).queue()
        for reason in record.candidate.reasons
        if reason.rule is Rule.CROSS_DATASET
    ]
    assert all(reason.score is not None and reason.score > float(threshold) for reason in uncertain)
