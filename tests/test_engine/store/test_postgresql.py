"""The same repositories on PostgreSQL: a server of their own, or the one LENS_TEST_POSTGRESQL_URL names."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from support.projects.readings import Reader, read
from support.projects.store_samples import BOX, MakeCandidate, MakeDecision, new_series, sections

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn
from lens_engine.errors import StoreError
from lens_engine.findings import FUSED, Scope, Split, Verdict
from lens_engine.jobs.heartbeat import living_workers
from lens_engine.project import Project, ProjectSettings
from lens_engine.snapshot import LabelSet
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.audit.verification import verify
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database, connect
from lens_engine.store.decisions import Decisions, SettledError
from lens_engine.store.detections import Detections
from lens_engine.store.labels.completeness import measured_series, said_of
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import Models
from lens_engine.store.queue.outline import OPEN, VERDICTS
from lens_engine.store.readings.readings import Readings
from lens_engine.store.readings.records import ReadingRecord, ReadingRound
from lens_engine.store.schema import Base
from lens_engine.store.workers import Workers

FAR = (30.0, 30.0, 10.0, 40.0, 40.0, 14.0)


@pytest.fixture
def department(tmp_path: Path, postgresql_url: str) -> Iterator[Database]:
    settings = ProjectSettings(name="department", database_url=postgresql_url, split_salt="salt")
    opened = Database.create(Project.create(tmp_path / "department", settings=settings))
    Catalog(opened).add_dataset("universal", Scope.UNIVERSAL)
    yield opened
    opened.close()


def test_migrations_make_exactly_the_tables_of_the_models(department: Database) -> None:
    with department.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_a_server_that_answers_no_more_is_noticed_unless_the_url_says_otherwise(department: Database) -> None:
    url = department.engine.url.update_query_dict({"keepalives_idle": "60"}).render_as_string(hide_password=False)
    for engine, idle in ((department.engine, "5"), (connect(url), "60")):
        with engine.connect() as connection:
            said = connection.connection.dbapi_connection.info.get_parameters()  # type: ignore[union-attr]
        assert (said["keepalives_idle"], said["keepalives_count"], said["tcp_user_timeout"]) == (idle, "5", "5000")
        engine.dispose()


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


@pytest.mark.parametrize("table", ["decisions", "promotions", "evaluations", "readings", "reading_events", "series"])
def test_not_even_the_owner_empties_what_is_append_only(department: Database, table: str) -> None:
    with pytest.raises(StoreError, match="append-only"), department.session() as session:
        session.execute(text(f"TRUNCATE {table} CASCADE"))


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


WRITER = """
import sys
from pathlib import Path
from support.projects.store_samples import detections_of, new_series
from lens_engine.findings import Scope, Split
from lens_engine.project import Project
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections

database = Database.open(Project.open(Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
for number in range(12):
    Catalog(database).add_dataset(f"data set {number}", Scope.UNIVERSAL)
    series, _ = Catalog(database).add_series(new_series(f"patient {number}"), f"data set {number}", Split.TRAIN)
    Detections(database).write(series.id, "v1", detections_of(3))
"""


def test_processes_that_add_the_same_at_the_same_time_store_it_once(department: Database) -> None:
    command = [sys.executable, "-c", WRITER, str(department.project.folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(3)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    errors = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0], errors
    assert len(Catalog(department).all_series()) == len(Detections(department).series_of("v1")) == 12
    assert len(Catalog(department).patients()) == 12


def test_workers_report(department: Database) -> None:
    Workers(department).start("gpu0", "elsewhere", 5, "cuda:0")
    Workers(department).beat("gpu0", "job")
    assert [record.current_job for record in living_workers(Workers(department))] == ["job"]


def test_windows_of_one_reader_make_one_chain(department: Database, make_decision: MakeDecision) -> None:
    series = [Catalog(department).add_series(new_series(key), "universal", Split.TRAIN)[0] for key in "abcd"]

    def decide(number: int) -> None:
        Decisions(department).add(make_decision(series[number % 4].id, Verdict.ADDED, None, BOX))

    with ThreadPoolExecutor(4) as windows:
        list(windows.map(decide, range(40)))
    report = verify(department)
    assert (report.decisions, report.breaks) == (40, ())
