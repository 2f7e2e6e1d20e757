import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from support.store_samples import BOX, AddSeries, MakeDecision

from lens_engine.errors import BoxError, StoreError
from lens_engine.findings import ReasonCode, Split, Verdict
from lens_engine.store.candidates import CandidateRecord, Candidates
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions

Ask = Callable[..., tuple[CandidateRecord, ...]]

READER_PROCESS = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from lens_engine.findings import Decision, Verdict
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions

folder, reader, series, candidate, count = sys.argv[1:]
decisions = Decisions(Database.open(Project.open(Path(folder))))
for number in range(int(count)):
    verdict = Verdict.ACCEPTED if number % 2 else Verdict.REJECTED
    box = (1.0, 1.0, 1.0, 5.0, 5.0, 5.0)
    decisions.add(Decision(int(series), int(candidate), verdict, box, (), reader, datetime.now(UTC)))
"""


def test_decision_comes_back_as_it_was_given(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    series = add_series("a")
    given = make_decision(series.id, Verdict.REJECTED, reason_code=ReasonCode.VESSEL, scores_hidden=True, round=2)
    stored = Decisions(database).add(given)
    assert stored.decision == given
    assert Decisions(database).history(series.id) == (stored,)


@pytest.mark.parametrize("statement", ["UPDATE decisions SET verdict = 'accepted'", "DELETE FROM decisions"])
def test_stored_decision_cannot_be_changed(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, statement: str
) -> None:
    stored = Decisions(database).add(make_decision(add_series("a").id, Verdict.REJECTED))
    with pytest.raises(StoreError, match="append-only"), database.session() as session:
        session.execute(text(statement))
    assert Decisions(database).current() == (stored,)


def test_withdrawing_opens_the_place_and_keeps_both_rows(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    decisions = Decisions(database)
    first = decisions.add(make_decision(series.id, Verdict.ACCEPTED, asked.id))
    assert Candidates(database).get(asked.id).decision == first
    undo = decisions.add(make_decision(series.id, Verdict.WITHDRAWN, asked.id))
    assert undo.previous_id == first.id
    assert Candidates(database).get(asked.id).decision is None
    assert decisions.current() == ()
    assert decisions.history(series.id) == (first, undo)


def test_withdrawing_works_for_a_decision_that_was_inherited(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    first = Decisions(database).add(make_decision(series.id, Verdict.ACCEPTED, asked.id))
    (again,) = ask(series.id, BOX)
    undo = Decisions(database).add(make_decision(series.id, Verdict.WITHDRAWN, again.id))
    assert undo.previous_id == first.id
    (third,) = ask(series.id, BOX)
    assert third.decision is None


def test_second_verdict_replaces_the_first(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    decisions = Decisions(database)
    first = decisions.add(make_decision(series.id, Verdict.ACCEPTED, asked.id))
    second = decisions.add(make_decision(series.id, Verdict.UNSURE, asked.id, reader="Reader B"))
    assert second.previous_id == first.id
    assert decisions.current() == (second,)
    assert decisions.counts() == {Verdict.UNSURE: 1}


def test_nothing_to_withdraw_is_an_error(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    with pytest.raises(StoreError, match="nothing to withdraw"):
        Decisions(database).add(make_decision(add_series("a").id, Verdict.WITHDRAWN))


def test_foreign_candidate_or_previous_decision_is_refused(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    first, second = add_series("a"), add_series("b")
    (asked,) = ask(first.id, BOX)
    with pytest.raises(StoreError, match="does not belong to series"):
        Decisions(database).add(make_decision(second.id, Verdict.ACCEPTED, asked.id))
    with pytest.raises(StoreError, match="no decision 99"):
        Decisions(database).add(make_decision(second.id, Verdict.ACCEPTED, previous_id=99))
    with pytest.raises(StoreError, match="no candidate 99"):
        Decisions(database).add(make_decision(second.id, Verdict.ACCEPTED, 99))
    assert Decisions(database).history(second.id) == ()


def test_broken_box_is_refused(database: Database, add_series: AddSeries, make_decision: MakeDecision) -> None:
    with pytest.raises(BoxError):
        Decisions(database).add(make_decision(add_series("a").id, Verdict.ADDED, box=(5.0, 0.0, 0.0, 1.0, 1.0, 1.0)))


def test_time_keeps_its_zone(database: Database, add_series: AddSeries, make_decision: MakeDecision) -> None:
    series = add_series("a")
    Decisions(database).add(make_decision(series.id, Verdict.ADDED, decided_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC)))
    (stored,) = Decisions(database).history(series.id)
    assert stored.decision.decided_at == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def test_two_readers_at_once_lose_no_decision(database: Database, add_series: AddSeries, ask: Ask) -> None:
    series = add_series("a", Split.TRAIN)
    (asked,) = ask(series.id, BOX)
    count = 25
    arguments = [str(database.project.folder)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", READER_PROCESS, *arguments, reader, str(series.id), str(asked.id), str(count)],
            stderr=subprocess.PIPE,
        )
        for reader in ("Reader A", "Reader B")
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    history = Decisions(database).history(series.id)
    assert len(history) == 2 * count
    # Each row follows the one before it: nobody overwrote what he had not seen.
    assert [record.previous_id for record in history] == [None, *[record.id for record in history[:-1]]]
    assert len(Decisions(database).current()) == 1
    assert Candidates(database).queue() == ()
