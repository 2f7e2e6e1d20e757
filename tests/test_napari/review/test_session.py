from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.window.outlines import outline_of

from lens_engine.errors import LensError
from lens_engine.findings import (
    Candidate,
    CandidateKind,
    Decision,
    Finding,
    Reason,
    ReasonCode,
    Rule,
    SliceBox,
    Verdict,
)
from lens_engine.store.candidates import CandidateRecord
from lens_engine.store.decisions import DecisionRecord
from lens_napari.review.acts import SaveState
from lens_napari.review.box_table import BoxState
from lens_napari.review.session import Filtered, ReviewSession, Write
from lens_napari.review.worklist.filters import Listed, WorklistFilter

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ALL_VERDICTS = (Verdict.ACCEPTED, Verdict.REJECTED, Verdict.UNSURE)


def record(number: int, series_id: int = 1, rule: Rule = Rule.CROSS_DATASET) -> CandidateRecord:
    section = SliceBox(5, (1.0, 1.0, 9.0, 9.0))
    finding = Finding("fused", (1.0, 1.0, 5.0, 9.0, 9.0, 6.0), (section,), 0.8)
    candidate = Candidate(series_id, finding, CandidateKind.UNCERTAIN, (Reason(rule),))
    return CandidateRecord(number, candidate, "v1", 1, 1 / number, None, False)


def session_with(*records: CandidateRecord) -> ReviewSession:
    """Return a session in which every lesion was read."""
    session = ReviewSession(outline_of(records), "reader", clock=lambda: NOON)
    session.learn(records)
    return session


def session_of(count: int) -> ReviewSession:
    return session_with(*(record(i + 1) for i in range(count)))


def said(write: Write | None) -> tuple[int | None, Verdict]:
    assert write is not None
    return write.decision.candidate_id, write.decision.verdict


def test_every_verdict_advances_to_the_next_open_lesion() -> None:
    session = session_of(3)
    assert said(session.decide(Verdict.ACCEPTED)) == (1, Verdict.ACCEPTED)
    assert session.current is not None
    assert session.current.id == 2


def test_nothing_is_asked_after_the_last_lesion() -> None:
    session = session_of(1)
    session.decide(Verdict.UNSURE)
    assert session.current is None
    assert session.decide(Verdict.ACCEPTED) is None
    assert session.tally().unsure == 1


def test_a_skipped_lesion_is_asked_again_at_the_end() -> None:
    session = session_of(2)
    session.go_next()
    session.decide(Verdict.ACCEPTED)
    assert session.current is not None
    assert session.current.id == 1


def test_a_verdict_is_pending_until_it_is_on_disk() -> None:
    session = session_of(2)
    write = session.decide(Verdict.ACCEPTED)
    assert write is not None
    assert session.entries[0].save_state is SaveState.PENDING
    session.mark_saved(write.ticket)
    assert session.entries[0].save_state is SaveState.SAVED
    assert session.pending == 0


def test_a_failed_write_brings_the_reader_back_and_leaves_the_lesion_open() -> None:
    session = session_of(3)
    first = session.decide(Verdict.ACCEPTED)
    session.decide(Verdict.REJECTED)
    assert first is not None
    session.mark_failed(first.ticket)
    assert session.position == 0
    assert session.entries[0].decision is None
    assert session.entries[1].verdict is Verdict.REJECTED


def test_when_a_verdict_and_its_reason_both_fail_the_lesion_is_open() -> None:
    session = session_of(2)
    writes = session.decide(Verdict.REJECTED), session.add_reason(ReasonCode.VESSEL)
    for write in writes:
        assert write is not None
        session.mark_failed(write.ticket)
    assert session.entries[0].decision is None
    assert session.entries[0].save_state is SaveState.FAILED
    assert session.undo() is None


def test_what_another_reader_has_settled_holds_and_is_known_at_the_next_verdict() -> None:
    session = session_of(2)
    theirs = Decision(1, 1, Verdict.REJECTED, (1.0, 1.0, 5.0, 9.0, 9.0, 6.0), (), "another reader", NOON)
    write = session.decide(Verdict.ACCEPTED)
    assert write is not None
    assert write.seen is None
    session.mark_settled(write.ticket, theirs)
    entry = session.current_entry
    assert entry is not None
    assert (entry.record.id, entry.decision, entry.save_state) == (1, theirs, SaveState.SETTLED)
    again = session.decide(Verdict.ACCEPTED)
    assert again is not None
    assert again.seen is theirs


def test_undo_gives_back_what_was_inherited_and_says_nothing_in_its_place() -> None:
    known = Decision(1, 7, Verdict.ACCEPTED, (1.0, 1.0, 5.0, 9.0, 9.0, 6.0), (), "another reader", NOON)
    inheriting = replace(record(1), decision=DecisionRecord(7, known), inherited=True)
    session = session_with(inheriting, record(2))
    session.go_to(1)
    session.decide(Verdict.REJECTED)
    assert said(session.undo()) == (1, Verdict.WITHDRAWN)
    assert session.entries[0].decision is known


@pytest.mark.parametrize("move", [ReviewSession.go_next, lambda session: session.go_to(3)])
def test_a_reason_after_the_reader_has_moved_on_does_nothing(move: Callable[[ReviewSession], object]) -> None:
    session = session_of(4)
    session.decide(Verdict.REJECTED)
    move(session)
    assert session.add_reason(ReasonCode.DUPLICATE) is None


def test_a_filter_says_what_it_leaves() -> None:
    session = session_with(record(1), record(2, rule=Rule.INTRA_PATIENT))
    assert session.filtered is None
    session.narrow(WorklistFilter(rule=Rule.CROSS_SLICE))
    assert session.current is None
    assert session.filtered == Filtered(Rule.CROSS_SLICE, total=0, open=0)
    session.narrow(WorklistFilter(rule=Rule.INTRA_PATIENT))
    session.decide(Verdict.ACCEPTED)
    assert session.filtered == Filtered(Rule.INTRA_PATIENT, total=1, open=0)
    session.narrow(WorklistFilter(rule=None))
    assert session.current is not None
    assert session.current.id == 1


def test_undo_withdraws_and_returns_and_redo_says_it_again() -> None:
    session = session_of(2)
    session.decide(Verdict.REJECTED)
    assert said(session.undo()) == (1, Verdict.WITHDRAWN)
    assert session.position == 0
    assert session.entries[0].state is BoxState.PLAIN
    assert said(session.redo()) == (1, Verdict.REJECTED)


def test_a_type_is_said_with_the_acceptance_and_advances() -> None:
    session = session_of(2)
    write = session.accept_as("lung nodule")
    assert said(write) == (1, Verdict.ACCEPTED)
    assert write is not None
    assert write.decision.lesion_type == "lung nodule"
    assert session.position == 1
    assert session.add_reason(ReasonCode.VESSEL) is None
    session.decide(Verdict.ACCEPTED)
    assert session.entries[1].decision is not None
    assert session.entries[1].decision.lesion_type is None
    assert session.accept_as("liver tumour") is None


def test_a_plain_verdict_takes_the_type_back_and_undo_gives_it_again() -> None:
    session = session_of(1)
    session.accept_as("lung nodule")
    session.go_to(1)
    session.decide(Verdict.ACCEPTED)
    assert type_of_first(session) is None
    write = session.undo()
    assert write is not None
    assert write.decision.lesion_type == type_of_first(session) == "lung nodule"
    assert said(session.undo()) == (1, Verdict.WITHDRAWN)
    session.redo()
    assert type_of_first(session) == "lung nodule"


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.ADJUSTED, Verdict.ADDED])
def test_a_type_leaves_the_box_that_was_decided_as_it_is(verdict: Verdict) -> None:
    section = SliceBox(5, (2.0, 2.0, 8.0, 8.0))
    known = Decision(1, 1, verdict, (2.0, 2.0, 5.0, 8.0, 8.0, 6.0), (section,), "another reader", NOON)
    session = session_with(replace(record(1), decision=DecisionRecord(7, known)))
    session.go_to(1)
    session.accept_as("lung nodule")
    assert session.entries[0].decision == replace(known, reader="reader", lesion_type="lung nodule")


@pytest.mark.parametrize("verdict", [Verdict.REJECTED, Verdict.UNSURE])
def test_a_type_makes_a_lesion_of_what_was_none(verdict: Verdict) -> None:
    session = session_of(1)
    session.decide(verdict)
    session.go_to(1)
    session.accept_as("lung nodule")
    assert session.entries[0].verdict is Verdict.ACCEPTED


def type_of_first(session: ReviewSession) -> str | None:
    decision = session.entries[0].decision
    return None if decision is None else decision.lesion_type


def test_a_reason_follows_a_rejection_without_moving_and_one_undo_takes_back_both() -> None:
    session = session_of(3)
    session.decide(Verdict.REJECTED)
    write = session.add_reason(ReasonCode.VESSEL)
    assert write is not None
    assert write.decision.reason_code is ReasonCode.VESSEL
    assert session.position == 1
    assert said(session.undo()) == (1, Verdict.WITHDRAWN)
    assert session.undo() is None


def test_the_same_reason_again_takes_it_away() -> None:
    session = session_of(2)
    session.decide(Verdict.REJECTED)
    session.add_reason(ReasonCode.VESSEL)
    write = session.add_reason(ReasonCode.VESSEL)
    assert write is not None
    assert (write.decision.verdict, write.decision.reason_code) == (Verdict.REJECTED, None)
    assert said(session.undo()) == (1, Verdict.WITHDRAWN)


def test_a_reason_of_a_lesion_that_was_rejected_before_is_an_act_of_its_own() -> None:
    session = session_of(2)
    session.decide(Verdict.REJECTED)
    session.add_reason(ReasonCode.VESSEL)
    session.go_previous()
    assert (session.rejected_id, session.reason, session.is_just_rejected) == (1, ReasonCode.VESSEL, False)
    write = session.add_reason(ReasonCode.BENIGN)
    assert write is not None
    assert (write.decision.candidate_id, write.decision.reason_code) == (1, ReasonCode.BENIGN)
    assert session.position == 0
    write = session.undo()
    assert write is not None
    assert (write.decision.verdict, write.decision.reason_code) == (Verdict.REJECTED, ReasonCode.VESSEL)


def test_a_reason_after_another_verdict_does_nothing() -> None:
    session = session_of(2)
    session.decide(Verdict.ACCEPTED)
    assert session.add_reason(ReasonCode.VESSEL) is None


def test_hidden_scores_are_recorded_with_the_decision() -> None:
    session = session_of(1)
    session.scores_hidden = True
    write = session.decide(Verdict.ACCEPTED)
    assert write is not None
    assert write.decision.scores_hidden


def test_only_lesions_of_the_chosen_rule_are_asked() -> None:
    session = session_with(record(1), record(2, rule=Rule.INTRA_PATIENT))
    session.narrow(WorklistFilter(rule=Rule.INTRA_PATIENT))
    assert session.current is not None
    assert session.current.id == 2
    assert not session.go_next()


def test_the_next_series_is_known_in_advance() -> None:
    session = session_with(record(1, 7), record(2, 7), record(3, 8))
    assert session.upcoming_series() == 8


def test_a_lesion_outside_the_queue_cannot_be_shown() -> None:
    with pytest.raises(LensError, match="Lesion 99"):
        session_of(1).go_to(99)


@given(st.lists(st.sampled_from(ALL_VERDICTS), max_size=6))
def test_undoing_everything_leaves_every_lesion_open(verdicts: list[Verdict]) -> None:
    session = session_of(6)
    for verdict in verdicts:
        session.decide(verdict)
    while session.undo() is not None:
        pass
    assert all(entry.decision is None for entry in session.entries)
    while session.redo() is not None:
        pass
    assert [entry.verdict for entry in session.entries[: len(verdicts)]] == verdicts


def test_nothing_can_be_said_of_a_lesion_before_it_was_read() -> None:
    session = ReviewSession(outline_of([record(1, 7), record(2, 8)]), "reader")
    assert (session.asked_id, session.asked_series, session.current) == (1, 7, None)
    with pytest.raises(LensError, match="Lesion 1 was not read"):
        session.decide(Verdict.ACCEPTED)
    session.learn([record(1, 7)])
    assert said(session.decide(Verdict.ACCEPTED)) == (1, Verdict.ACCEPTED)


def test_what_others_have_said_is_learnt_until_something_is_said_here() -> None:
    theirs = Decision(1, 1, Verdict.REJECTED, (1.0, 1.0, 5.0, 9.0, 9.0, 6.0), (), "another reader", NOON)
    session = session_of(2)
    session.learn([replace(record(1), decision=DecisionRecord(7, theirs)), record(99)])
    assert session.entries[0].decision is theirs
    assert session.tally().rejected == 1
    session.go_to(2)
    session.decide(Verdict.ACCEPTED)
    session.learn([replace(record(2), decision=DecisionRecord(8, replace(theirs, candidate_id=2)))])
    assert session.entries[1].verdict is Verdict.ACCEPTED


def test_decided_lesions_are_gone_through_again_one_after_the_other() -> None:
    session = session_of(4)
    for verdict in (Verdict.REJECTED, Verdict.ACCEPTED, Verdict.REJECTED):
        session.decide(verdict)
    session.narrow(WorklistFilter(Listed.NOT_LESIONS))
    assert said(session.decide(Verdict.ACCEPTED)) == (1, Verdict.ACCEPTED)
    assert said(session.decide(Verdict.UNSURE)) == (3, Verdict.UNSURE)
    assert session.current is None
    assert session.filtered == Filtered(None, total=0, open=0)
    session.narrow(WorklistFilter())
    assert session.asked_id == 4


def test_the_reader_is_told_what_he_has_done_today() -> None:
    records = [record(i + 1) for i in range(4)]
    session = ReviewSession(outline_of(records), "reader", decided_today={1, 77}, clock=lambda: NOON)
    session.learn(records)
    assert session.tally().today == 1  # of 77 this list knows nothing
    session.decide(Verdict.ACCEPTED)
    session.decide(Verdict.ACCEPTED)
    assert session.tally().today == 2
    session.undo()
    assert session.tally().today == 1


CHANGED = (SliceBox(5, (1.0, 1.0, 9.0, 9.0)), SliceBox(6, (2.0, 2.0, 8.0, 8.0)))


def test_another_box_is_a_decision_that_undo_and_redo_cover_as_one() -> None:
    session = session_of(2)
    found = session.entries[0].slices
    write = session.adjust(CHANGED, None)
    assert write is not None
    assert (write.decision.verdict, write.decision.slices) == (Verdict.ADJUSTED, CHANGED)
    assert write.decision.box == (1.0, 1.0, 5.0, 9.0, 9.0, 7.0)
    assert session.entries[0].slices == CHANGED
    assert session.adjusted_of_series(1) == {session.entries[0].record.id: CHANGED}
    session.undo()
    assert session.entries[0].slices == found
    session.redo()
    assert session.entries[0].slices == CHANGED


def test_an_adjusted_box_stays_when_the_lesion_is_accepted_again_and_goes_when_it_is_rejected() -> None:
    session = session_of(2)
    session.adjust(CHANGED, None)
    session.go_to(session.entries[0].record.id)
    again = session.decide(Verdict.ACCEPTED)
    assert again is not None
    assert (again.decision.verdict, again.decision.slices) == (Verdict.ADJUSTED, CHANGED)
    session.go_to(session.entries[0].record.id)
    session.decide(Verdict.REJECTED)
    assert session.adjusted_of_series(1) == {}


def test_another_box_leaves_the_type_unless_one_is_given() -> None:
    session = session_of(1)
    session.accept_as("liver tumour")
    for given_type, expected in ((None, "liver tumour"), ("lung nodule", "lung nodule")):
        session.go_to(session.entries[0].record.id)
        write = session.adjust(CHANGED, given_type)
        assert write is not None
        assert write.decision.lesion_type == expected


def test_what_was_taken_back_is_forgotten_when_the_reader_goes_on_elsewhere() -> None:
    session = session_of(2)
    session.decide(Verdict.ACCEPTED)
    assert (session.undo_act, session.redo_act) == (1, None)
    session.undo()
    assert (session.undo_act, session.redo_act) == (0, 1)
    session.forget_taken_back()
    assert session.redo() is None
