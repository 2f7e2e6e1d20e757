"""A stored snapshot made once more from the log: the same labels, whatever was said and added later."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from support.projects.store_samples import BOX, AddSeries, MakeCandidate, MakeDecision, sections

from lens_engine.errors import AnnotationFileError, StoreError
from lens_engine.findings import Candidate, Scope, Verdict
from lens_engine.snapshot import LabelSet, Snapshot
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.audit.rebuilding import rebuild
from lens_engine.store.audit.verification import verify
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.labels.snapshots import SnapshotRecord, Snapshots

FAR = (30.0, 30.0, 10.0, 40.0, 40.0, 14.0)


@pytest.fixture
def frozen(
    database: Database, add_series: AddSeries, make_candidate: MakeCandidate, make_decision: MakeDecision
) -> SnapshotRecord:
    """Return a snapshot of annotated, mined, accepted and added lesions; much was said and added after it."""
    series, decisions = add_series("a"), Decisions(database)
    Annotations(database).add(
        [NewAnnotation(series.id, FAR, sections(FAR), AnnotationRole.LABEL, AnnotationOrigin.DRAWN)]
    )
    Candidates(database).replace_open("v1", [make_candidate(series.id, BOX)], [0.5])
    (asked,) = Candidates(database).queue()
    decisions.add(make_decision(series.id, Verdict.ACCEPTED, asked.id))
    decisions.add(make_decision(series.id, Verdict.ADDED, None, (50, 50, 1, 60, 60, 3), reader="Reader B"))
    record = Snapshots(database).freeze(LabelSet.CURATED)
    decisions.add(make_decision(series.id, Verdict.REJECTED, asked.id, reader="Reader C"))
    decisions.add(make_decision(series.id, Verdict.ADDED, None, (5, 50, 1, 9, 60, 3), reader="Reader B"))
    Annotations(database).add(
        [NewAnnotation(series.id, BOX, sections(BOX), AnnotationRole.LABEL, AnnotationOrigin.DRAWN)]
    )
    Candidates(database).replace_open("v2", [make_candidate(series.id, FAR)], [0.5])
    Catalog(database).add_dataset("lung", Scope.SINGLE_TYPE, "lung")
    add_series("b", dataset="lung")
    return record


def test_a_snapshot_comes_out_of_the_log_again(database: Database, frozen: SnapshotRecord) -> None:
    made = rebuild(database, frozen.id)
    assert (made.is_equal, made.decisions) == (True, 2)
    assert Snapshots(database).freeze(LabelSet.CURATED).id != frozen.id


def test_a_mining_that_ended_after_the_freezing_is_not_in_it(
    database: Database, add_series: AddSeries, make_candidate: MakeCandidate
) -> None:
    series, candidates = add_series("a"), Candidates(database)
    Annotations(database).add(
        [NewAnnotation(series.id, FAR, sections(FAR), AnnotationRole.LABEL, AnnotationOrigin.DRAWN)]
    )
    begun_at, snapshots = datetime.now(UTC), []

    def mined() -> Iterator[tuple[Candidate, float]]:
        yield make_candidate(series.id, BOX), 0.5
        snapshots.append(Snapshots(database).freeze(LabelSet.MINED))

    candidates.store_run("v1", begun_at, mined())
    assert rebuild(database, snapshots[0].id).is_equal
    assert Snapshots(database).freeze(LabelSet.MINED).id != snapshots[0].id


def test_what_was_changed_behind_the_back_does_not_come_out_again(database: Database, frozen: SnapshotRecord) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER decisions_no_update"))
        connection.execute(text("UPDATE decisions SET verdict = 'unsure' WHERE id = 1"))
    made = rebuild(database, frozen.id)
    assert (made.is_equal, len(made.decided_otherwise), made.otherwise) == (False, 1, ())


def test_what_is_no_decision_is_told_apart(database: Database, frozen: SnapshotRecord) -> None:
    with database.session() as session:
        session.execute(text("UPDATE annotations SET created_at = '2000-01-01 00:00:00'"))
    made = rebuild(database, frozen.id)
    assert (made.is_equal, made.decided_otherwise, len(made.otherwise)) == (False, (), 1)


def test_an_end_that_is_gone_is_named(database: Database, frozen: SnapshotRecord) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER decisions_no_delete"))
        connection.execute(text("DELETE FROM decisions WHERE id = 2"))
    with pytest.raises(StoreError, match="are gone from the log"):
        rebuild(database, frozen.id)


def test_the_heads_are_read_without_the_labels(database: Database, frozen: SnapshotRecord) -> None:
    whole = Snapshots(database).read(frozen.id)
    assert Snapshot.heads_in(frozen.path) == (whole.chain_heads, whole.digest)
    assert Snapshots(database).heads(frozen.id) == whole.chain_heads
    assert verify(database).breaks == ()


def test_a_snapshot_in_another_form_is_read_whole(database: Database, frozen: SnapshotRecord, tmp_path: Path) -> None:
    whole = Snapshots(database).read(frozen.id)
    frozen.path.write_text(whole.model_dump_json(indent=1))
    with pytest.raises(AnnotationFileError):
        Snapshot.heads_in(frozen.path)
    assert Snapshots(database).heads(frozen.id) == whole.chain_heads
