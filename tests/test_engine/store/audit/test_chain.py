"""The chains of decisions: whoever changes the log behind the program's back is found."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from support.projects.store_samples import BOX, AddSeries, MakeDecision

from lens_engine.errors import StoreError
from lens_engine.findings import RecistAxes, Verdict
from lens_engine.snapshot import LabelSet
from lens_engine.store.audit.chain import COLUMNS, first_link, next_link
from lens_engine.store.audit.verification import Break, verify
from lens_engine.store.candidates import CandidateRecord
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.labels.snapshots import Snapshots

Ask = Callable[..., tuple[CandidateRecord, ...]]
ROW = dict.fromkeys(COLUMNS) | {"decided_at": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "slices": []}


@pytest.fixture
def decided(database: Database, add_series: AddSeries, make_decision: MakeDecision) -> Database:
    """Return a database with three decisions of Reader A and one of Reader B."""
    series = add_series("a")
    decisions = Decisions(database)
    for number, reader in enumerate(("Reader A", "Reader B", "Reader A", "Reader A")):
        box = (1.5, 2.25, number, 3.1, 4.0, number + 1)
        axes = RecistAxes(number, (1.5, 2.25, 3.1, 4.0))
        decisions.add(make_decision(series.id, Verdict.ADDED, None, box, reader=reader, comment="Ünklar", axes=axes))
    return database


def change_behind_the_back(database: Database, statement: str) -> None:
    """Do what nobody can do through the program: the triggers are gone for a moment."""
    with database.engine.begin() as connection:
        triggers = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
        for name, _ in triggers:
            connection.execute(text(f"DROP TRIGGER {name}"))
        connection.execute(text(statement))
        for _, sql in triggers:
            connection.execute(text(sql))


def test_what_nobody_has_touched_is_whole(decided: Database) -> None:
    report = verify(decided)
    assert (report.decisions, len(report.heads), report.breaks) == (4, 2, ())


@pytest.mark.parametrize(
    ("statement", "first_wrong"),
    [
        ("UPDATE decisions SET verdict = 'rejected' WHERE id = 3", 3),
        ("UPDATE decisions SET comment = 'clear' WHERE id = 1", 1),
        ("UPDATE decisions SET x2 = x2 + 0.001 WHERE id = 3", 3),
        ("UPDATE decisions SET axes = NULL WHERE id = 3", 3),
        ("UPDATE decisions SET decided_at = '2020-01-01 00:00:00.000000' WHERE id = 4", 4),
        ("DELETE FROM decisions WHERE id = 3", 4),
        ("UPDATE readers SET name = 'Reader C' WHERE name = 'Reader A'", 1),
        ("UPDATE decisions SET reader_id = 1 WHERE id = 2", 2),
    ],
)
def test_what_was_changed_or_taken_out_is_found(decided: Database, statement: str, first_wrong: int) -> None:
    change_behind_the_back(decided, statement)
    assert verify(decided).breaks[0].decision_id == first_wrong


@pytest.mark.parametrize(
    ("statement", "gone"),
    [
        ("DELETE FROM decisions WHERE id = 4", {"Reader A"}),
        ("DELETE FROM decisions WHERE id = 2", {"Reader B"}),
        ("DELETE FROM decisions", {"Reader A", "Reader B"}),
    ],
)
def test_an_end_that_a_snapshot_has_seen_is_missed(decided: Database, statement: str, gone: set[str]) -> None:
    snapshot = Snapshots(decided).freeze(LabelSet.CURATED)
    assert verify(decided).breaks == ()
    change_behind_the_back(decided, statement)
    assert set(verify(decided).breaks) == {Break(reader, snapshot_id=snapshot.id) for reader in gone}


def test_the_heads_in_a_snapshot_leave_its_id_as_it_is(decided: Database, make_decision: MakeDecision) -> None:
    frozen = Snapshots(decided).freeze(LabelSet.CURATED)
    latest = Decisions(decided).current()[-1]
    withdrawn = make_decision(latest.decision.series_id, Verdict.ADDED, None, (30, 30, 1, 40, 40, 2))
    added = Decisions(decided).add(withdrawn)
    Decisions(decided).change_added(
        added.id, make_decision(latest.decision.series_id, Verdict.WITHDRAWN, None, (30, 30, 1, 40, 40, 2))
    )
    assert Snapshots(decided).freeze(LabelSet.CURATED).id == frozen.id
    assert verify(decided).breaks == ()


def test_two_windows_of_one_reader_make_one_chain(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    series = [add_series(name) for name in "abcd"]

    def decide(number: int) -> None:
        Decisions(database).add(make_decision(series[number % 4].id, Verdict.ADDED, None, BOX))

    with ThreadPoolExecutor(4) as windows:
        list(windows.map(decide, range(40)))
    report = verify(database)
    assert (report.decisions, report.breaks) == (40, ())


@given(offset=st.integers(-12, 12))
def test_a_moment_has_one_hash_in_every_zone(offset: int) -> None:
    elsewhere = ROW["decided_at"].astimezone(timezone(timedelta(hours=offset)))
    link = first_link("Anna")
    assert next_link(link, ROW | {"decided_at": elsewhere}) == next_link(link, ROW)


@given(name=st.sampled_from([name for name in COLUMNS if name not in {"decided_at", "slices"}]), value=st.integers())
def test_every_value_counts(name: str, value: Any) -> None:
    assert next_link(first_link("Anna"), ROW | {name: value}) != next_link(first_link("Anna"), ROW)


def test_a_changed_snapshot_is_named(decided: Database) -> None:
    record = Snapshots(decided).freeze(LabelSet.CURATED)
    record.path.write_text(record.path.read_text().replace('"positive"', '"negative"'))
    with pytest.raises(StoreError, match=record.id):
        verify(decided)
