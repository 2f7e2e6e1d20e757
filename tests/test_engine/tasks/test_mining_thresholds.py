"""A mining asks single-type experts at thresholds of their own."""

import re
from datetime import UTC, datetime
from pathlib import Path

from support.projects.worker_project import lesion, write_scan

from lens_engine.findings import Rule, Scope, Split
from lens_engine.io.series import scan
from lens_engine.jobs.results import MineResult
from lens_engine.lesion_embedding.vector_files import VectorFiles
from lens_engine.store.annotations import AnnotationRole, Annotations
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog, NewSeries, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.tasks.mining_inputs import MiningInputs
from lens_engine.tasks.workbench import Workbench
from lens_engine.worker.messages import (
    CalibrateRules,
    DetectSeries,
    EmbedAnnotations,
    MinePatients,
    StoreCandidates,
)


def add_lung_series(database: Database, folder: Path, number: int, *, is_labelled: bool = True) -> SeriesRecord:
    """Add a scan of a patient of its own to the data set that labels lung lesions."""
    path = folder / f"lung{number}.nii.gz"
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
    record, _ = Catalog(database).add_series(new, "lung", Split.TRAIN)
    if is_labelled:
        Annotations(database).add([lesion(record.id, AnnotationRole.LABEL)])
    return record


def test_single_type_experts_are_asked_at_thresholds_found_in_their_own_labelled_scans(
    database: Database, tmp_path: Path
) -> None:
    catalog, bench = Catalog(database), Workbench(database.project, tmp_path / "job")
    catalog.add_dataset("lung", Scope.SINGLE_TYPE, "lung")
    for number in range(2):
        add_lung_series(database, tmp_path, number)
    ids = [record.id for record in catalog.all_series() if record.split is Split.TRAIN]
    for series_id in ids:
        for task in (DetectSeries, EmbedAnnotations):
            bench.run(task(series_id=series_id, model_version="v1"), lambda *_: None)
    bench.run(CalibrateRules(series_ids=tuple(ids), model_version="v1"), lambda *_: None)
    bench.run(MinePatients(batch=0, series_ids=tuple(ids), model_version="v1"), lambda *_: None)
    store = StoreCandidates(batches=1, series=len(ids), model_version="v1", begun_at=datetime.now(UTC))
    mined = MineResult.model_validate(bench.run(store, lambda *_: None))
    # Random weights are sure of much: only a strict threshold leaves few false ones.
    (threshold,) = re.findall(r"Expert lung must be surer than (0\.\d+): in 2 labelled scans", mined.threshold_note)
    uncertain = [
        reason
        for record in Candidates(database).queue()
        for reason in record.candidate.reasons
        if reason.rule is Rule.CROSS_DATASET
    ]
    assert all(reason.score is not None and reason.score > float(threshold) for reason in uncertain)


def test_only_as_many_labelled_scans_are_read_as_thresholds_are_learned_from(
    database: Database, tmp_path: Path
) -> None:
    Catalog(database).add_dataset("lung", Scope.SINGLE_TYPE, "lung")
    first, unlabelled = (add_lung_series(database, tmp_path, n, is_labelled=n == 0) for n in range(2))
    more = [add_lung_series(database, tmp_path, number) for number in range(2, 4)]
    inputs = MiningInputs(database, VectorFiles(tmp_path, "digest", "v1"), "v1")
    patients = [[record] for record in Catalog(database).all_series()]
    assert inputs.of_single_types(patients, at_most=2) == [first, more[0]]
    assert inputs.of_single_types([[unlabelled]], at_most=2) == [unlabelled]
