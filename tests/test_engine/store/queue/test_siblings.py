"""One lesion in two reconstructions of an examination: `THICK` has half as many slices as `THIN`, and begins lower."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.projects.store_samples import AddSeries, MakeCandidate, MakeDecision, sections

from lens_engine.findings import Box3D, Decision, ReasonCode, SliceBox, Verdict
from lens_engine.geometry import VolumeGeometry
from lens_engine.store.candidates import CandidateRecord, Candidates
from lens_engine.store.database import Database
from lens_engine.store.decisions import Committed, Decisions
from lens_engine.store.queue.siblings import box_in, slices_in

THIN = VolumeGeometry((60, 64, 64), (1.0, 1.0, 1.0))
THICK = VolumeGeometry((30, 128, 128), (2.0, 0.5, 0.5), origin_mm=(-0.25, -0.25, -0.5))
LESION: Box3D = (10.0, 12.0, 20.0, 20.0, 26.0, 30.0)
IN_THICK = box_in(LESION, THIN, THICK)
ELSEWHERE: Box3D = (40.0, 40.0, 40.0, 46.0, 46.0, 44.0)
TWO_SERIES = {"patient_key": "one patient", "study_key": "one study"}

Ask = Callable[..., tuple[CandidateRecord, ...]]


@pytest.fixture
def ask_in_two(
    database: Database, add_series: AddSeries, make_candidate: MakeCandidate
) -> Callable[..., tuple[int, int]]:
    """Ask about the lesion in two series; return the ids of the candidates."""

    def store(**of_second: object) -> tuple[int, int]:
        common = {**TWO_SERIES, "frame_key": "one frame"}
        first = add_series("thin", geometry=THIN, **common)
        second = add_series("thick", **{"geometry": THICK, **common, **of_second})
        found = [make_candidate(first.id, LESION), make_candidate(second.id, whole_slices(IN_THICK))]
        Candidates(database).replace_open("v1", [*found, make_candidate(second.id, ELSEWHERE)], [0.9, 0.5, 0.1])
        thin, thick, _ = Candidates(database).latest()
        return thin, thick

    return store


def whole_slices(box: Box3D) -> Box3D:
    return (*box[:2], float(round(box[2])), *box[3:5], float(round(box[5])))


def verdicts(database: Database) -> dict[int, Verdict | None]:
    queue = Candidates(database).queue(split=None, include_decided=True)
    return {one.id: one.decision.verdict if one.decision else None for one in queue}


def add_seen(database: Database, said: Decision) -> Committed:
    """Append what a reader says who knows what counts."""
    queue = Candidates(database).queue(split=None, include_decided=True)
    counts = next(one.decision for one in queue if one.id == said.candidate_id)
    return Decisions(database).add_seen(said, counts.decision if counts else None)


def said_of(
    make_decision: MakeDecision, database: Database, candidate: int, verdict: Verdict, **more: object
) -> Decision:
    asked = Candidates(database).get(candidate).candidate
    return make_decision(asked.series_id, verdict, candidate, asked.finding.box, **more)


def test_one_answer_counts_for_the_lesion_in_both_series(
    database: Database, ask_in_two: Callable[..., tuple[int, int]], make_decision: MakeDecision
) -> None:
    thin, thick = ask_in_two()
    words = {"reason_code": ReasonCode.VESSEL, "comment": "splenic artery"}
    said = said_of(make_decision, database, thin, Verdict.REJECTED, **words)
    committed = add_seen(database, said)
    along = committed.along[thick]
    assert along is not None
    assert (committed.record.candidate_id, along.candidate_id) == (thin, thick)
    assert along.decision.along_id == committed.record.id
    assert (along.reason_code, along.decision.comment) == (ReasonCode.VESSEL, "splenic artery")
    assert along.box == Candidates(database).get(thick).candidate.finding.box
    assert list(verdicts(database).values()).count(Verdict.REJECTED) == 2
    assert Decisions(database).decided_by("Reader A", said.decided_at) == {thin}


def test_what_is_taken_back_is_open_in_both_series(
    database: Database, ask_in_two: Callable[..., tuple[int, int]], make_decision: MakeDecision
) -> None:
    thin, thick = ask_in_two()
    add_seen(database, said_of(make_decision, database, thin, Verdict.ACCEPTED))
    add_seen(database, said_of(make_decision, database, thin, Verdict.UNSURE))
    assert verdicts(database)[thick] is Verdict.UNSURE
    add_seen(database, said_of(make_decision, database, thin, Verdict.WITHDRAWN))
    assert set(verdicts(database).values()) == {None}


def test_what_a_reader_said_in_the_other_series_stays(
    database: Database, ask_in_two: Callable[..., tuple[int, int]], make_decision: MakeDecision
) -> None:
    thin, thick = ask_in_two()
    add_seen(database, said_of(make_decision, database, thin, Verdict.ACCEPTED))
    add_seen(database, said_of(make_decision, database, thick, Verdict.REJECTED))
    assert (verdicts(database)[thin], verdicts(database)[thick]) == (Verdict.ACCEPTED, Verdict.REJECTED)
    add_seen(database, said_of(make_decision, database, thin, Verdict.UNSURE))
    assert (verdicts(database)[thin], verdicts(database)[thick]) == (Verdict.UNSURE, Verdict.REJECTED)


def test_a_copy_says_nothing_of_the_lesion_in_the_other_series(
    database: Database, ask_in_two: Callable[..., tuple[int, int]], make_decision: MakeDecision
) -> None:
    thin, thick = ask_in_two()
    rejected = said_of(make_decision, database, thin, Verdict.REJECTED)
    add_seen(database, rejected)
    copy = replace(rejected, reason_code=ReasonCode.DUPLICATE)  # the reason comes a moment later, as a reader says it
    assert add_seen(database, copy).along == {thick: None}
    assert verdicts(database)[thick] is None
    assert add_seen(database, copy).along == {}


def test_taking_a_copy_back_leaves_what_an_earlier_mining_settled(
    database: Database, ask_in_two: Callable[..., tuple[int, int]], make_decision: MakeDecision
) -> None:
    thin, _ = ask_in_two()
    add_seen(database, said_of(make_decision, database, thin, Verdict.ACCEPTED))
    found = list(Candidates(database).latest().values())
    Candidates(database).replace_open("v2", found, [0.9, 0.5, 0.1])
    again, other, _ = Candidates(database).latest()
    copy = said_of(make_decision, database, again, Verdict.REJECTED, reason_code=ReasonCode.DUPLICATE)
    for said in (copy, replace(copy, verdict=Verdict.WITHDRAWN, reason_code=None)):
        add_seen(database, said)
    assert verdicts(database)[other] is Verdict.ACCEPTED


def test_what_goes_along_again_is_taken_back_along(
    database: Database, ask_in_two: Callable[..., tuple[int, int]], make_decision: MakeDecision
) -> None:
    thin, thick = ask_in_two()
    along = add_seen(database, said_of(make_decision, database, thin, Verdict.ACCEPTED)).along[thick]
    assert along is not None
    add_seen(database, said_of(make_decision, database, thick, Verdict.REJECTED))
    add_seen(database, replace(along.decision, previous_id=None))  # the reader undoes the second verdict
    assert verdicts(database)[thick] is Verdict.ACCEPTED
    add_seen(database, said_of(make_decision, database, thin, Verdict.WITHDRAWN))
    assert set(verdicts(database).values()) == {None}


@pytest.mark.parametrize(
    "of_second",
    [
        {"frame_key": "another frame"},
        {"frame_key": None},
        {"study_key": "another study"},
        {"geometry": replace(THICK, origin_mm=(30.0, 30.0, 30.0))},
    ],
)
def test_other_coordinates_examinations_and_places_are_asked_about_apart(
    database: Database,
    ask_in_two: Callable[..., tuple[int, int]],
    make_decision: MakeDecision,
    of_second: dict[str, object],
) -> None:
    thin, thick = ask_in_two(**of_second)
    assert add_seen(database, said_of(make_decision, database, thin, Verdict.ACCEPTED)).along == {}
    assert verdicts(database)[thick] is None


def test_an_adjusted_box_is_adjusted_in_the_other_series_too(
    database: Database, ask_in_two: Callable[..., tuple[int, int]], make_decision: MakeDecision
) -> None:
    thin, thick = ask_in_two()
    larger = (8.0, 12.0, 20.0, 22.0, 26.0, 30.0)
    said = replace(said_of(make_decision, database, thin, Verdict.ADJUSTED), box=larger, slices=sections(larger))
    along = add_seen(database, said).along[thick]
    assert along is not None
    assert (along.candidate_id, along.verdict) == (thick, Verdict.ADJUSTED)
    assert along.box == pytest.approx(whole_slices(box_in(larger, THIN, THICK)))
    assert len(along.decision.slices) == 5


def test_the_card_of_a_lesion_knows_its_sibling_series(
    database: Database, ask_in_two: Callable[..., tuple[int, int]]
) -> None:
    thin, thick = ask_in_two()
    candidates = Candidates(database)
    first, second = (candidates.get(one) for one in (thin, thick))
    (shown,) = candidates.of_series(first.candidate.series_id, first.mining_run)
    assert shown.siblings == (second.candidate.series_id,)
    there = candidates.of_series(second.candidate.series_id, second.mining_run)
    assert [one.siblings for one in there] == [(first.candidate.series_id,), ()]


edges = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), *[st.integers(2, 15)] * 3).map(
    lambda six: tuple(map(float, (*six[:3], six[0] + six[3], six[1] + six[4], six[2] + six[5])))
)


@given(edges)
def test_a_box_comes_back_from_another_grid_as_it_was(box: Box3D) -> None:
    assert box_in(box_in(box, THIN, THICK), THICK, THIN) == pytest.approx(box)
    assert box_in(box, THIN, THIN) == pytest.approx(box)


@given(edges)
def test_cross_sections_on_a_finer_grid_lie_in_the_box_and_leave_no_gap(box: Box3D) -> None:
    hull = box_in(box, THICK, THIN)
    inside = [index for index in range(THIN.shape[0]) if hull[2] < index + 0.5 < hull[5]]
    found = slices_in(sections(box), THICK, THIN)
    assert [one.slice_index for one in found] == inside
    for one in found:
        assert one.box == pytest.approx((hull[0], hull[1], hull[3], hull[4]))


def test_a_lesion_thinner_than_a_slice_keeps_one_cross_section() -> None:
    thin = (SliceBox(21, (10.0, 10.0, 20.0, 20.0)),)
    assert len(slices_in(thin, THIN, THICK)) == 1
