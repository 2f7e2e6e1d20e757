"""What mining knows of a series, and mining in batches of patients that are stored as one run."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from support.projects.mining_project import SLICES, add_patients, annotate, embed_annotations, vector_files
from support.projects.worker_project import LESION

from lens_engine.checkpoint_card import read_embedding_card
from lens_engine.errors import BoxError, StoreError
from lens_engine.findings import Candidate, Decision, Rule, Verdict, slices_of_box
from lens_engine.jobs.results import MineResult
from lens_engine.mining.calibration import calibrate_distance_limit
from lens_engine.mining.candidates import mine
from lens_engine.mining.looks import SeriesVectors
from lens_engine.mining.settings import MiningSettings
from lens_engine.store.annotations import AnnotationRole, Annotations
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.detections import Detections
from lens_engine.store.models.lesion_embedding import embedding_folder
from lens_engine.tasks.mining_inputs import MiningInputs, lesions_of_series
from lens_engine.tasks.service import TaskCancelledError
from lens_engine.tasks.workbench import Workbench
from lens_engine.worker.messages import CalibrateRules, EmbedAnnotations, MinePatients, StoreCandidates

BEGUN_AT = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)

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
    vectors = vector_files(database, tmp_path).read(str(series.id))
    known = vectors.of_lesions(lesions_of_series(database, series.id))
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


def test_a_lesion_that_was_decided_after_the_embedding_is_known_without_one(database: Database, tmp_path: Path) -> None:
    series = Catalog(database).all_series()[0]
    Workbench(database.project, tmp_path).run(
        EmbedAnnotations(series_id=series.id, model_version="v1"), lambda *_: None
    )
    decide(database, series.id, Verdict.ADDED)
    vectors = vector_files(database, tmp_path).read(str(series.id))
    known = vectors.of_lesions(lesions_of_series(database, series.id))
    assert [lesion.embedding for lesion in known.decided] == [None]


def ignore(done: int, total: int) -> None:
    pass


@pytest.fixture
def patients(database: Database) -> list[SeriesRecord]:
    """Add four patients with a marked lesion and a second study each, as they are before mining."""
    records = add_patients(database, 4)
    annotate(database, records)
    return records


@pytest.fixture
def mine_in(database: Database, tmp_path: Path, patients: list[SeriesRecord]) -> Callable[..., MineResult]:
    """Return a function that does all tasks of a mining whose batches have so many patients."""

    def mine_in_batches_of(size: int, folder: str = "job", begun_at: datetime = BEGUN_AT) -> MineResult:
        embed_annotations(database, patients, tmp_path / folder)
        bench = Workbench(database.project, tmp_path / folder)
        ids = [record.id for record in patients]
        batches = [ids[start : start + 2 * size] for start in range(0, len(ids), 2 * size)]
        bench.run(CalibrateRules(series_ids=tuple(ids), model_version="v1"), ignore)
        for number, batch in enumerate(batches):
            bench.run(MinePatients(batch=number, series_ids=tuple(batch), model_version="v1"), ignore)
        store = StoreCandidates(batches=len(batches), series=len(ids), model_version="v1", begun_at=begun_at)
        return MineResult.model_validate(bench.run(store, ignore))

    return mine_in_batches_of


def stored(database: Database) -> list[tuple[Candidate, float]]:
    return [(record.candidate, record.priority) for record in Candidates(database).queue(include_decided=True)]


def test_batches_give_what_all_patients_give_at_once(
    database: Database, tmp_path: Path, patients: list[SeriesRecord], mine_in: Callable[..., MineResult]
) -> None:
    in_batches = mine_in(1)
    found = list(Candidates(database).latest().values())
    at_once = mine_in(4, "other job", BEGUN_AT + timedelta(hours=1))
    job = tmp_path / "job"
    source = MiningInputs(database, vector_files(database, job), "v1")
    inputs = list(source.of(patients))
    measured = read_embedding_card(embedding_folder(database.project)).distance_limit
    limit = calibrate_distance_limit(inputs, measured=measured)
    assert (
        found == list(Candidates(database).latest().values()) == list(mine(inputs, MiningSettings(), limit).candidates)
    )
    assert in_batches == at_once.model_copy(update={"mining_run": in_batches.mining_run})
    assert (in_batches.patients, in_batches.series, in_batches.candidates) == (4, 8, len(found))
    assert in_batches.by_reason[Rule.CROSS_SLICE] == 4
    assert in_batches.by_reason[Rule.INTRA_PATIENT] >= 4


def test_what_is_taught_is_counted_by_rule(mine_in: Callable[..., MineResult]) -> None:
    rows = {row.name: row for row in mine_in(2).label_counts}
    assert list(rows) == ["no mining", "+ cross-slice", "+ intra-patient", "+ cross-dataset", "+ unlabelled"]
    assert (rows["no mining"].lesions, rows["no mining"].boxes) == (4, 4)
    assert (rows["+ cross-slice"].lesions, rows["+ cross-slice"].boxes) == (4, 16)
    assert rows["+ intra-patient"].lesions >= 8
    assert rows["+ cross-dataset"].boxes == rows["+ intra-patient"].boxes
    assert rows["+ unlabelled"].uncertain_boxes > rows["+ cross-dataset"].uncertain_boxes
    assert rows["+ unlabelled"].slices == 8 * SLICES


def test_a_batch_that_is_mined_is_left_alone_and_a_run_is_stored_once(
    database: Database, tmp_path: Path, mine_in: Callable[..., MineResult]
) -> None:
    first = mine_in(2)
    times = [path.stat().st_mtime_ns for path in sorted((tmp_path / "job" / "mined").iterdir())]
    assert mine_in(2) == first
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "job" / "mined").iterdir())] == times
    assert len(times) == 3


@pytest.mark.parametrize("damage", [b"", b"mined patients 9\n", b"\xff\xfe", b"mined patients 1\n{}\n"])
def test_a_batch_that_is_damaged_or_of_another_version_is_named_and_candidates_stay(
    database: Database, tmp_path: Path, mine_in: Callable[..., MineResult], damage: bytes
) -> None:
    mine_in(2, "earlier job", BEGUN_AT - timedelta(hours=1))
    before = stored(database)
    (tmp_path / "job" / "mined").mkdir(parents=True)
    (tmp_path / "job" / "mined" / "1.jsonl").write_bytes(damage)
    with pytest.raises(StoreError, match="What was mined in batch 1") as caught:
        mine_in(2)
    assert "Start the mining again" in caught.value.remedy
    assert stored(database) == before


def test_a_cancelled_batch_leaves_nothing(
    database: Database, tmp_path: Path, patients: list[SeriesRecord], mine_in: Callable[..., MineResult]
) -> None:
    mine_in(4)
    bench = Workbench(database.project, tmp_path / "job")
    task = MinePatients(batch=7, series_ids=tuple(record.id for record in patients), model_version="v1")

    def cancel(done: int, total: int) -> None:
        if done == 2:
            raise TaskCancelledError

    with pytest.raises(TaskCancelledError):
        bench.run(task, cancel)
    assert {path.name for path in (tmp_path / "job" / "mined").iterdir()} == {"0.jsonl", "rules.json"}


def test_one_study_and_no_annotation_are_said_and_found_empty(database: Database, tmp_path: Path) -> None:
    records = add_patients(database, 2, studies=1)
    embed_annotations(database, records, tmp_path)
    bench = Workbench(database.project, tmp_path)
    ids = tuple(record.id for record in records)
    bench.run(CalibrateRules(series_ids=ids, model_version="v1"), ignore)
    bench.run(MinePatients(batch=0, series_ids=ids, model_version="v1"), ignore)
    task = StoreCandidates(batches=1, series=2, model_version="v1", begun_at=BEGUN_AT)
    result = MineResult.model_validate(bench.run(task, ignore))
    assert set(result.by_reason) <= {Rule.CROSS_DATASET}
    assert [note.split(":")[0] for note in result.notes] == [
        "No lesion of the mined series is annotated",
        "No patient has a known lesion and another series",
    ]


def test_embeddings_of_another_network_are_named_and_candidates_stay(
    database: Database, tmp_path: Path, patients: list[SeriesRecord], mine_in: Callable[..., MineResult]
) -> None:
    mine_in(2, "earlier job", BEGUN_AT - timedelta(hours=1))
    before = stored(database)
    embed_annotations(database, patients, tmp_path / "job")
    (note,) = Annotations(database).of_series(patients[0].id)
    other = np.full(3, 3**-0.5, dtype=np.float32)
    found = Detections(database).read(patients[0].id, "v1").proposals.embeddings
    vectors = SeriesVectors({note.id: other}, {}, np.arange(len(found)), found)
    vector_files(database, tmp_path / "job").write(str(patients[0].id), vectors)
    task = CalibrateRules(series_ids=tuple(record.id for record in patients), model_version="v1")
    with pytest.raises(BoxError, match="Embeddings of length 2 and 3") as caught:
        Workbench(database.project, tmp_path / "job").run(task, ignore)
    assert "same model version" in caught.value.expected
    assert stored(database) == before
