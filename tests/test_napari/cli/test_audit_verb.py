"""`lens audit`: what was said of a series, and whether the log is as it was written."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from support.processes.command_line import lens
from support.projects.store_samples import BOX, new_series, sections

from lens_engine.findings import Decision, ReasonCode, Split, Verdict
from lens_engine.snapshot import LabelSet
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.new_project import create_project


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database, _ = create_project(tmp_path / "study")
    series, _ = Catalog(database).add_series(new_series("a"), "universal", Split.TRAIN)
    added = Decision(series.id, None, Verdict.ADDED, BOX, sections(BOX), "Anna", datetime.now(UTC))
    first = Decisions(database).add(added)
    rejected = replace(
        added, verdict=Verdict.REJECTED, reader="Bert", previous_id=first.id, reason_code=ReasonCode.VESSEL
    )
    Decisions(database).add(rejected)
    yield database
    database.close()


def test_what_was_said_of_a_series_is_shown_in_order(database: Database) -> None:
    (series,) = Catalog(database).all_series()
    shown = lens("audit", "show", series.name, folder=database.project.folder).stdout.splitlines()
    first, second = (line for line in shown if "Anna" in line or "Bert" in line)
    assert ("lesion (added)" in first, "Anna" in first) == (True, True)
    assert [word in second for word in ("not a lesion", "vessel", "Bert", " 2 ")] == [True] * 4


def test_a_log_as_it_was_written_is_whole(database: Database) -> None:
    done = lens("audit", "verify", folder=database.project.folder)
    assert (done.returncode, "as it was written: 2, by 2 of" in done.stdout) == (0, True)


def test_a_changed_decision_is_named_and_the_exit_code_says_so(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER decisions_no_update"))
        connection.execute(text("UPDATE decisions SET verdict = 'accepted' WHERE id = 2"))
    done = lens("audit", "verify", folder=database.project.folder)
    assert done.returncode == 1
    assert "decision 2 of Bert does not follow the one before it" in done.stderr


def test_frozen_labels_come_out_of_the_log_again_or_are_named(database: Database) -> None:
    (series,), far = Catalog(database).all_series(), (40.0, 40.0, 2.0, 50.0, 50.0, 6.0)
    Decisions(database).add(Decision(series.id, None, Verdict.ADDED, far, sections(far), "Anna", datetime.now(UTC)))
    frozen = Snapshots(database).freeze(LabelSet.CURATED)
    done = lens("audit", "rebuild", folder=database.project.folder)
    words = f"Snapshot {frozen.id} comes out of the log again, with 3 decisions"
    assert (done.returncode, words in done.stdout) == (0, True), done.stderr
    with database.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER decisions_no_update"))
        connection.execute(text("UPDATE decisions SET verdict = 'unsure' WHERE id = 3"))
    changed = lens("audit", "rebuild", frozen.id, folder=database.project.folder)
    assert changed.returncode == 1
    assert f"does not come out of the log: other lesions in {series.name}" in changed.stderr


def test_a_series_has_to_be_named(database: Database) -> None:
    done = lens("audit", "show", folder=database.project.folder)
    assert (done.returncode, "lens audit show SERIES" in done.stderr) == (2, True)
