"""What is typed and drawn goes with the verdict, stays for it, and is taken back with it: nothing is lost."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from support.window.outlines import outline_of

from lens_engine.findings import (
    Candidate,
    CandidateKind,
    Decision,
    Finding,
    Reason,
    ReasonCode,
    RecistAxes,
    Rule,
    SliceBox,
    Verdict,
)
from lens_engine.store.candidates import CandidateRecord
from lens_engine.store.comments import Comment
from lens_engine.store.decisions import DecisionRecord
from lens_napari.review.saying.unsaid import Unsaid
from lens_napari.review.session import ReviewSession, Write
from lens_napari.review.worklist.filters import Listed, WorklistFilter

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SLICES = (SliceBox(5, (2.0, 2.0, 8.0, 8.0)), SliceBox(6, (2.0, 2.0, 8.0, 8.0)))
AXES = RecistAxes(5, (2.0, 2.0, 8.0, 8.0))


def record(number: int) -> CandidateRecord:
    finding = Finding("fused", (2.0, 2.0, 5.0, 8.0, 8.0, 7.0), SLICES, 0.8)
    candidate = Candidate(1, finding, CandidateKind.UNCERTAIN, (Reason(Rule.CROSS_DATASET),))
    return CandidateRecord(number, candidate, "v1", 1, 1 / number, None, False)


def session_with(*records: CandidateRecord, unsaid: Unsaid | None = None) -> ReviewSession:
    session = ReviewSession(outline_of(records), "reader", clock=lambda: NOON)
    session.remarks.go_on_with(unsaid or Unsaid())
    session.learn(records)
    return session


def said_by(reader: str, verdict: Verdict = Verdict.ACCEPTED) -> CandidateRecord:
    decision = Decision(1, 1, verdict, (2.0, 2.0, 5.0, 8.0, 8.0, 7.0), SLICES, reader, NOON, comment="cyst?")
    return replace(record(1), decision=DecisionRecord(3, decision), comments=(Comment(reader, "cyst?"),))


def words(write: Write | None) -> tuple[Verdict, str]:
    assert write is not None
    return write.decision.verdict, write.decision.comment


def test_what_was_typed_and_drawn_goes_with_the_verdict() -> None:
    session = session_with(record(1), record(2))
    session.remarks.write(1, " near the hilum ")
    session.remarks.draw(1, AXES)
    write = session.decide(Verdict.ACCEPTED)
    assert words(write) == (Verdict.ACCEPTED, "near the hilum")
    assert write is not None
    assert write.decision.axes == AXES
    assert not session.remarks.waits(1)
    assert words(session.decide(Verdict.REJECTED)) == (Verdict.REJECTED, "")


@pytest.mark.parametrize(
    "again",
    [
        lambda session: session.decide(Verdict.UNSURE),
        lambda session: session.accept_as("lung nodule"),
        lambda session: session.adjust(SLICES, None),
        lambda session: session.add_reason(ReasonCode.BENIGN),
    ],
)
def test_a_verdict_said_again_keeps_words_and_axes(again: object) -> None:
    session = session_with(record(1), record(2))
    session.remarks.write(1, "near the hilum")
    session.remarks.draw(1, AXES)
    session.decide(Verdict.REJECTED)
    session.go_previous()
    write = again(session)  # type: ignore[operator]  # each takes a session
    assert (write.decision.comment, write.decision.axes) == ("near the hilum", AXES)


def test_axes_go_with_the_slice_that_a_changed_box_leaves() -> None:
    session = session_with(record(1))
    session.remarks.draw(1, AXES)
    write = session.adjust(SLICES[1:], None)
    assert write is not None
    assert write.decision.axes is None


def test_words_about_a_decided_lesion_are_said_with_its_verdict_and_taken_back_alone() -> None:
    session = session_with(record(1), record(2))
    session.accept_as("lung nodule")
    session.go_previous()
    session.remarks.write(1, "spiculated")
    write = session.say_remark(1)
    assert words(write) == (Verdict.ACCEPTED, "spiculated")
    assert write is not None
    assert write.decision.lesion_type == "lung nodule"
    assert session.position == 0
    assert session.say_remark(1) is None
    assert words(session.undo()) == (Verdict.ACCEPTED, "")
    assert session.remarks.comment_on(1) == ""
    assert words(session.redo()) == (Verdict.ACCEPTED, "spiculated")


def test_words_about_an_open_lesion_wait_for_its_verdict() -> None:
    unsaid = Unsaid({1: "typed yesterday"})
    session = session_with(record(1), record(2), unsaid=unsaid)
    assert session.say_remark(1) is None
    session.go_next()
    assert unsaid.comments() == {1: "typed yesterday"}
    session.go_previous()
    assert words(session.decide(Verdict.UNSURE)) == (Verdict.UNSURE, "typed yesterday")
    assert unsaid.comments() == {}


@pytest.mark.parametrize("lose", [lambda session, _: session.undo(), lambda session, one: session.mark_failed(one)])
def test_words_of_a_verdict_that_does_not_hold_any_more_wait_for_the_next(lose: object) -> None:
    session = session_with(record(1))
    session.remarks.write(1, "near the hilum")
    write = session.decide(Verdict.ACCEPTED)
    assert write is not None
    lose(session, write.ticket)  # type: ignore[operator]  # each takes a session and a ticket
    assert session.remarks.comment_on(1) == "near the hilum"
    assert words(session.decide(Verdict.REJECTED)) == (Verdict.REJECTED, "near the hilum")


def test_nobody_signs_the_words_of_another_reader() -> None:
    session = session_with(said_by("another reader"))
    session.go_to(1)
    assert session.remarks.comment_on(1) == ""
    assert session.remarks.comments_of_others(1) == (Comment("another reader", "cyst?"),)
    assert words(session.decide(Verdict.REJECTED)) == (Verdict.REJECTED, "")
    assert words(session.undo()) == (Verdict.ACCEPTED, "")
    assert session.remarks.comments_of_others(1) == (Comment("another reader", "cyst?"),)


def test_own_words_stand_behind_the_verdict_of_another_reader() -> None:
    (own,) = said_by("reader").comments
    settled = said_by("another reader", Verdict.REJECTED)
    session = session_with(replace(settled, comments=(own, *settled.comments)))
    session.go_to(1)
    assert words(session.decide(Verdict.ACCEPTED)) == (Verdict.ACCEPTED, "cyst?")


def test_the_list_finds_what_was_typed_a_moment_ago() -> None:
    session = session_with(record(1), record(2))
    session.narrow(WorklistFilter(Listed.ALL, text="hilum"))
    assert len(session.rows()) == 0
    session.remarks.write(2, "near the Hilum")
    assert [row.candidate_id for row in session.rows()] == [2]
    session.remarks.write(2, "")
    assert len(session.rows()) == 0
