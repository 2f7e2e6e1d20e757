"""Lesions that are decided along with one that another series of the examination shows."""

from dataclasses import replace
from datetime import UTC, datetime

from support.window.outlines import outline_of

from lens_engine.findings import Candidate, CandidateKind, Decision, Finding, Reason, Rule, SliceBox, Verdict
from lens_engine.store.candidates import CandidateRecord
from lens_engine.store.decisions import DecisionRecord
from lens_napari.review.box_table import BoxState
from lens_napari.review.session import ReviewSession

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def record(number: int) -> CandidateRecord:
    section = SliceBox(5, (1.0, 1.0, 9.0, 9.0))
    finding = Finding("fused", (1.0, 1.0, 5.0, 9.0, 9.0, 6.0), (section,), 0.8)
    candidate = Candidate(number, finding, CandidateKind.UNCERTAIN, (Reason(Rule.CROSS_DATASET),))
    return CandidateRecord(number, candidate, "v1", 1, 1 / number, None, False)


RECORDS = tuple(record(number) for number in (1, 2, 3))


def along(number: int, verdict: Verdict = Verdict.ACCEPTED) -> DecisionRecord:
    finding = RECORDS[number - 1].candidate.finding
    return DecisionRecord(
        90, Decision(number, number, verdict, finding.box, finding.slices, "reader", NOON, along_id=80), 1
    )


def session_after_a_verdict() -> ReviewSession:
    """Return a session in which the first of three lesions was just accepted; nothing of the others was read."""
    session = ReviewSession(outline_of(RECORDS), "reader", clock=lambda: NOON)
    session.learn(RECORDS[:1])
    write = session.decide(Verdict.ACCEPTED)
    assert write is not None
    session.mark_saved(write.ticket)
    return session


def state(session: ReviewSession, number: int) -> BoxState:
    return BoxState(session.rows().states[number - 1])


def test_the_next_lesion_is_asked_about_where_the_one_that_comes_was_decided_along() -> None:
    session = session_after_a_verdict()
    assert session.asked_id == 2
    session.take_along({2: along(2)}, may_move=True)
    assert (session.asked_id, state(session, 2)) == (3, BoxState.ACCEPTED)


def test_a_lesion_that_the_reader_sees_stays_on_screen() -> None:
    session = session_after_a_verdict()
    session.take_along({2: along(2)}, may_move=False)
    assert (session.asked_id, state(session, 2)) == (2, BoxState.ACCEPTED)


def test_a_lesion_that_the_reader_has_chosen_stays_on_screen() -> None:
    session = session_after_a_verdict()
    session.go_to(2)
    session.take_along({2: along(2)}, may_move=True)
    assert session.asked_id == 2


def test_what_was_read_before_the_verdict_does_not_open_the_lesion_again() -> None:
    session = session_after_a_verdict()
    session.take_along({2: along(2)}, may_move=True)
    session.learn(RECORDS)
    assert state(session, 2) is BoxState.ACCEPTED
    session.take_along({2: None}, may_move=True)
    session.learn(RECORDS)
    assert state(session, 2) is BoxState.PLAIN


def test_a_lesion_whose_own_verdict_is_on_its_way_is_left_alone() -> None:
    session = session_after_a_verdict()
    session.learn(RECORDS)
    session.decide(Verdict.REJECTED)
    session.take_along({2: along(2)}, may_move=True)
    assert state(session, 2) is BoxState.REJECTED


def test_undo_of_a_verdict_of_its_own_lets_it_go_along_again() -> None:
    session = session_after_a_verdict()
    session.take_along({2: along(2)}, may_move=True)
    session.learn([replace(RECORDS[1], decision=along(2))])
    session.go_to(2)
    session.decide(Verdict.REJECTED)
    write = session.undo()
    assert write is not None
    assert (write.decision.verdict, write.decision.along_id) == (Verdict.ACCEPTED, 80)
