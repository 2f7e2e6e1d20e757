"""The same repositories on PostgreSQL: a server of their own, or the empty database LENS_TEST_POSTGRESQL_URL names."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from support.postgresql import running_server, server_programs
from support.readings import Reader, read
from support.store_samples import BOX, MakeCandidate, MakeDecision, new_series, sections

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn
from lens_engine.errors import StoreError
from lens_engine.findings import FUSED, Scope, Split, Verdict
from lens_engine.jobs.heartbeat import living_workers
from lens_engine.project import Project, ProjectSettings
from lens_engine.snapshot import LabelSet
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions, SettledError
from lens_engine.store.labels.completeness import measured_series, said_of
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import Models
from lens_engine.store.queue.outline import OPEN, VERDICTS
from lens_engine.store.readings.readings import Readings
from lens_engine.store.readings.records import ReadingRecord, ReadingRound
from lens_engine.store.schema import Base
from lens_engine.store.workers import Workers

FAR = (30.0, 30.0, 10.0, 40.0, 40.0, 14.0)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    given, programs = os.environ.get("LENS_TEST_POSTGRESQL_URL"), server_programs()
    if given is not None:
        yield given
    elif programs is not None:
        with running_server(programs) as own:
            yield own
    else:
        pytest.skip("PostgreSQL is not installed, and LENS_TEST_POSTGRESQL_URL names no empty database")


@pytest.fixture
def department(tmp_path: Path, url: str) -> Iterator[Database]:
    settings = ProjectSettings(name="department", database_url=url, split_salt="salt")
    opened = Database.open(Project.create(tmp_path, settings=settings))
    Catalog(opened).add_dataset("universal", Scope.UNIVERSAL)
    yield opened
    with opened.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    opened.close()


def test_migrations_make_exactly_the_tables_of_the_models(department: Database) -> None:
    with department.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_decisions_are_kept_and_cannot_be_changed(
    department: Database, make_candidate: MakeCandidate, make_decision: MakeDecision
) -> None:
    series, _ = Catalog(department).add_series(new_series("a"), "universal", Split.TRAIN)
    Candidates(department).replace_open("v1", [make_candidate(series.id, BOX)], [0.5])
    (asked,) = Candidates(department).queue()
    stored = Decisions(department).add(make_decision(series.id, Verdict.ACCEPTED, asked.id))
    assert Decisions(department).history(series.id) == (stored,)
    assert Candidates(department).queue() == ()
    for statement in ("UPDATE decisions SET round = 2", "DELETE FROM decisions"):
        with pytest.raises(StoreError, match="append-only"), department.session() as session:
            session.execute(text(statement))


def test_the_list_is_read_as_columns(
    department: Database, make_candidate: MakeCandidate, make_decision: MakeDecision
) -> None:
    series, _ = Catalog(department).add_series(new_series("a"), "universal", Split.TRAIN)
    Candidates(department).replace_open("v1", [make_candidate(series.id, box) for box in (BOX, FAR)], [0.9, 0.5])
    first, _ = Candidates(department).latest()
    Decisions(department).add(make_decision(series.id, Verdict.REJECTED, first, comment="splenic artery"))
    outline = Candidates(department).outline()
    assert [None if number == OPEN else VERDICTS[number] for number in outline.verdicts] == [Verdict.REJECTED, None]
    assert outline.comments == {first: "splenic artery"}
    assert outline.experts == (FUSED, "universal", "lung")
    assert outline.scores.tolist() == [[0.75, 0.75, 0.25]] * 2


def test_readers_of_sibling_series_wait_for_each_other(
    department: Database, make_candidate: MakeCandidate, make_decision: MakeDecision
) -> None:
    common = {"patient_key": "one", "study_key": "one", "frame_key": "one"}
    ids = [
        Catalog(department).add_series(new_series(key, **common), "universal", Split.TRAIN)[0].id for key in ("a", "b")
    ]
    found = [make_candidate(series_id, BOX) for series_id in ids]
    Candidates(department).replace_open("v1", found, [0.9, 0.5])
    asked = list(Candidates(department).latest())

    def decide(reader: int) -> None:
        for verdict in (Verdict.ACCEPTED, Verdict.REJECTED) * 5:
            said = make_decision(ids[reader], verdict, asked[reader], reader=f"Reader {reader}")
            counting = Candidates(department).get(asked[reader]).decision
            with suppress(SettledError):  # the other one was a little faster
                Decisions(department).add_seen(said, counting.decision if counting else None)

    with ThreadPoolExecutor(2) as readers:
        list(readers.map(decide, range(2)))
    own = {one.candidate_id for one in Decisions(department).current() if one.decision.along_id is None}
    assert own <= set(asked)
    assert len(Decisions(department).current()) == len(ids)


def test_readings_are_kept_apart_and_adjudicated(department: Database) -> None:
    series, _ = Catalog(department).add_series(new_series("a"), "universal", Split.TEST)
    first, _ = (read(department, series.id, name, box) for name, box in (("Anna", BOX), ("Bert", FAR)))
    assert Decisions(department).current() == ()
    assert measured_series(department, Split.TEST).disputed == (series.name,)
    judge = Reader.begin(department, series.id, "Carl", ReadingRound.ADJUDICATION)
    for place in Readings(department).comparison(judge.reading.id).places:
        judge.settle(place.marked[0].id, Verdict.ADDED, place.marked[0].box)
    judge.complete(30.0)
    assert [item.box for item in said_of(department, series.id).decisions] == [BOX, FAR]
    for table in ("readings", "reading_events"):
        with pytest.raises(StoreError, match="append-only"), department.session() as session:
            session.execute(text(f"DELETE FROM {table}"))
    assert Readings(department).get(first.id) == first


def test_readers_who_complete_at_the_same_time_wait_for_each_other(department: Database) -> None:
    series, _ = Catalog(department).add_series(new_series("a"), "universal", Split.TEST)
    begun = [Readings(department).start(series.id, f"Reader {number}") for number in range(4)]

    def complete(reading: ReadingRecord) -> bool:
        try:
            return Readings(department).complete(reading.id).is_complete
        except StoreError:
            return False

    with ThreadPoolExecutor(len(begun)) as pool:
        assert sum(pool.map(complete, begun)) == ReadingRound.INDEPENDENT.room


def test_the_plan_counts_what_the_snapshot_holds(department: Database, make_decision: MakeDecision) -> None:
    series, _ = Catalog(department).add_series(new_series("a"), "universal", Split.TRAIN)
    new = NewAnnotation(series.id, FAR, sections(FAR), AnnotationRole.LABEL, AnnotationOrigin.DRAWN)
    Annotations(department).add([new])
    for verdict, box in [(Verdict.REJECTED, BOX), (Verdict.UNSURE, BOX), (Verdict.ADDED, BOX), (Verdict.REJECTED, FAR)]:
        Decisions(department).add(make_decision(series.id, verdict, box=box))
    for label_set in LabelSet:
        assert Snapshots(department).counts(label_set) == Snapshots(department).freeze(label_set).counts
    assert Snapshots(department).counts(LabelSet.CURATED) == {"series": 1, "annotations": 1, "accepted": 1}


def test_models_that_are_registered_at_the_same_time_get_a_version_each(department: Database, tmp_path: Path) -> None:
    folders = [tmp_path / f"model {number}" for number in range(8)]
    for folder in folders:
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(folder.name.encode())
        (folder / "card.json").write_text(CheckpointCard(trained_on=TrainedOn.PATIENTS).model_dump_json())
    with ThreadPoolExecutor(len(folders)) as pool:
        records = list(pool.map(Models(department).register, folders))
    assert sorted(record.version for record in records) == [f"v{number}" for number in range(1, 9)]
    assert all(record.folder.is_dir() for record in records)


def test_workers_report(department: Database) -> None:
    Workers(department).start("gpu0", "elsewhere", 5, "cuda:0")
    Workers(department).beat("gpu0", "job")
    assert [record.current_job for record in living_workers(Workers(department))] == ["job"]
