from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from support.projects.store_samples import BOX, AddSeries, MakeCandidate, MakeDecision

from lens_engine.errors import StoreError
from lens_engine.findings import Candidate, Reason, Rule, Split, Verdict
from lens_engine.snapshot import LabelSet, LesionOrigin
from lens_engine.store.candidates import PORTION, CandidateRecord, Candidates
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.labels.roles import roles_of
from lens_engine.store.schema import CandidateRow, MiningRunRow

Ask = Callable[..., tuple[CandidateRecord, ...]]

MOMENT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
OTHER = (40.0, 40.0, 10.0, 50.0, 50.0, 14.0)
NEAR = (11.0, 11.0, 2.0, 21.0, 21.0, 6.0)
AROUND = (5.0, 5.0, 0.0, 30.0, 30.0, 9.0)


def test_candidate_comes_back_with_all_its_reasons(
    database: Database, add_series: AddSeries, make_candidate: MakeCandidate
) -> None:
    reason = Reason(Rule.INTRA_PATIENT, annotation_id=7, distance=0.11, distance_limit=0.15)
    candidate = make_candidate(add_series("a").id, reason=reason)
    run = Candidates(database).replace_open("v3", [candidate], [0.4])
    (record,) = Candidates(database).queue()
    assert record.candidate == candidate
    assert (record.model_version, record.mining_run, record.priority) == ("v3", run, 0.4)
    assert Candidates(database).get(record.id) == record
    assert Candidates(database).counts_by_reason() == {Rule.INTRA_PATIENT: 1}


def test_series_with_the_best_candidate_comes_first_and_stays_together(
    database: Database, add_series: AddSeries, make_candidate: MakeCandidate
) -> None:
    first, second = add_series("a"), add_series("b")
    candidates = [make_candidate(first.id), make_candidate(second.id, OTHER), make_candidate(first.id, OTHER)]
    Candidates(database).replace_open("v1", [*candidates, make_candidate(second.id)], [0.2, 0.3, 0.6, 0.9])
    queue = Candidates(database).queue()
    assert [(record.candidate.series_id, record.priority) for record in queue] == [
        (second.id, 0.9),
        (second.id, 0.3),
        (first.id, 0.6),
        (first.id, 0.2),
    ]


def test_new_run_replaces_the_open_candidates(database: Database, add_series: AddSeries, ask: Ask) -> None:
    series = add_series("a")
    (old,) = ask(series.id, BOX)
    ask(series.id, OTHER)
    assert [record.candidate.finding.box for record in Candidates(database).queue()] == [OTHER]
    assert Candidates(database).get(old.id).candidate.finding.box == BOX


def test_decided_place_is_not_asked_about_again(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked, _) = ask(series.id, BOX, OTHER)
    decision = Decisions(database).add(make_decision(series.id, Verdict.ACCEPTED, asked.id))
    ask(series.id, NEAR, OTHER)
    assert [record.candidate.finding.box for record in Candidates(database).queue()] == [OTHER]
    near = next(record for record in Candidates(database).queue(include_decided=True) if record.decision)
    assert (near.candidate.finding.box, near.decision, near.inherited) == (NEAR, decision, True)


def test_rejected_vessel_does_not_hide_a_larger_neighbour(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    Decisions(database).add(make_decision(series.id, Verdict.REJECTED, asked.id))
    ask(series.id, NEAR, AROUND)
    assert [record.candidate.finding.box for record in Candidates(database).queue()] == [AROUND]


def test_decision_of_another_series_does_not_count(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    first, second = add_series("a"), add_series("b")
    (asked,) = ask(first.id, BOX)
    Decisions(database).add(make_decision(first.id, Verdict.ACCEPTED, asked.id))
    ask(second.id, BOX)
    assert len(Candidates(database).queue()) == 1


def test_queue_can_be_of_one_split(database: Database, add_series: AddSeries, make_candidate: MakeCandidate) -> None:
    ids = [add_series(split.value, split).id for split in (Split.TRAIN, Split.VAL)]
    Candidates(database).replace_open("v1", [make_candidate(series_id) for series_id in ids], [0.1, 0.2])
    assert [record.candidate.series_id for record in Candidates(database).queue(split=Split.VAL)] == [ids[1]]
    assert [record.candidate.series_id for record in Candidates(database).queue()] == [ids[0]]
    assert [record.candidate.series_id for record in Candidates(database).queue(split=None)] == [ids[1], ids[0]]


def test_empty_run_leaves_nothing_to_ask(database: Database, add_series: AddSeries, ask: Ask) -> None:
    ask(add_series("a").id, BOX)
    Candidates(database).replace_open("v1", [], [])
    assert Candidates(database).queue() == ()


def test_missing_priority_or_candidate_is_an_error(
    database: Database, add_series: AddSeries, make_candidate: MakeCandidate
) -> None:
    with pytest.raises(StoreError, match="1 candidates and 0 priorities"):
        Candidates(database).replace_open("v1", [make_candidate(add_series("a").id)], [])
    with pytest.raises(StoreError, match="no candidate 5"):
        Candidates(database).get(5)


def of_run(database: Database, model_version: str) -> int:
    with database.reading() as session:
        query = select(func.count()).select_from(CandidateRow).join(MiningRunRow)
        return session.scalar(query.where(MiningRunRow.model_version == model_version)) or 0


def cut_off(found: list[tuple[Candidate, float]]) -> Iterator[tuple[Candidate, float]]:
    """Yield what was found, and end as a killed process does."""
    yield from found
    raise KeyboardInterrupt


def test_a_run_is_asked_about_only_when_its_last_portion_is_stored(
    database: Database, add_series: AddSeries, make_candidate: MakeCandidate
) -> None:
    candidates = Candidates(database)
    before = make_candidate(add_series("a").id)
    candidates.replace_open("v1", [before], [0.5])
    pair = (make_candidate(before.series_id, OTHER), 0.25)
    with pytest.raises(KeyboardInterrupt):
        candidates.store_run("v2", MOMENT, cut_off([pair] * 2 * PORTION))
    assert of_run(database, "v2") == 2 * PORTION
    assert list(candidates.latest().values()) == [before]
    assert [record.candidate for record in candidates.queue()] == [before]
    assert candidates.counts_by_reason() == {reason.rule: 1 for reason in before.reasons}


def test_a_run_that_was_cut_off_begins_anew_and_a_whole_one_is_left_alone(
    database: Database, add_series: AddSeries, make_candidate: MakeCandidate
) -> None:
    candidates = Candidates(database)
    found = [(make_candidate(add_series("a").id), 0.5)] * (PORTION + 1)
    with pytest.raises(KeyboardInterrupt):
        candidates.store_run("v1", MOMENT, cut_off(found))
    run = candidates.store_run("v1", MOMENT, found)
    assert candidates.store_run("v1", MOMENT, cut_off(found)) == run
    assert len(candidates.latest()) == of_run(database, "v1") == PORTION + 1
    assert candidates.store_run("v1", MOMENT + timedelta(seconds=1), []) > run
    assert candidates.latest() == {}


def test_what_is_half_stored_is_no_label(
    database: Database, add_series: AddSeries, make_candidate: MakeCandidate
) -> None:
    found = [(make_candidate(add_series("a").id), 0.5)] * (PORTION + 1)
    with pytest.raises(KeyboardInterrupt):
        Candidates(database).store_run("v1", MOMENT, cut_off(found))
    with database.reading() as session:
        assert roles_of(session, LabelSet.MINED)[LesionOrigin.MINED] == {}
