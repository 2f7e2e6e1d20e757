"""The order of the queue: by what an answer would change; among equals disagreement, doubt and resemblance decide."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.findings import FUSED, Candidate, CandidateKind, Finding, Reason, Rule
from lens_engine.mining.priority import expected_use, interest, priority

scores = st.floats(0, 1)


def value(score: float, experts: dict[str, float], distance: float | None = None, limit: float | None = 0.15) -> float:
    finding = Finding("fused", (0, 0, 0, 1, 1, 1), (), score, experts)
    rule = Rule.CROSS_DATASET if distance is None else Rule.INTRA_PATIENT
    reason = Reason(rule, distance=distance, distance_limit=limit)
    return interest(Candidate(1, finding, CandidateKind.UNCERTAIN, (reason,)), ("universal",))


def test_disagreement_counts() -> None:
    assert value(0.8, {"universal": 0.1, "lung": 0.8}) > value(0.8, {"universal": 0.7, "lung": 0.8})
    assert value(0.8, {"universal": 0.8}) == value(0.8, {"lung": 0.8})


def test_doubt_counts() -> None:
    assert value(0.5, {"lung": 0.5, "universal": 0.5}) > value(0.9, {"lung": 0.9, "universal": 0.9})


def test_a_nearer_match_counts_more() -> None:
    assert value(0.8, {}, distance=0.05) > value(0.8, {}, distance=0.14) > value(0.8, {})


def test_the_extremes_are_reached() -> None:
    assert value(1.0, {"universal": 1.0, "lung": 1.0}) == 0
    assert value(0.5, {"lung": 1.0}, distance=0.0) == pytest.approx(1)


@given(scores, st.dictionaries(st.sampled_from(("universal", "lung")), scores), scores, st.floats(0, 2))
def test_it_is_a_share(score: float, experts: dict[str, float], distance: float, limit: float) -> None:
    assert 0 <= value(score, experts, distance, limit) <= 1


def test_the_score_of_the_fusion_is_no_expert_that_disagrees() -> None:
    assert value(0.8, {"universal": 0.8, "lung": 0.8, FUSED: 0.1}) == value(0.8, {"universal": 0.8, "lung": 0.8})


def asked(*reasons: Reason, score: float = 0.5, experts: dict[str, float] | None = None) -> Candidate:
    only_seen = all(reason.rule is Rule.CROSS_DATASET for reason in reasons)
    kind = CandidateKind.UNCERTAIN if only_seen else CandidateKind.MISSING_ANNOTATION
    return Candidate(1, Finding(FUSED, (0, 0, 0, 1, 1, 1), (), score, experts or {}), kind, reasons)


def matched(distance: float, score: float) -> Candidate:
    return asked(Reason(Rule.INTRA_PATIENT, distance=distance, distance_limit=0.2), score=score)


SEEN = Reason(Rule.CROSS_DATASET, expert="lung", score=0.8)
CONTINUED = Reason(Rule.CROSS_SLICE, annotation_id=1)

USES = {
    "what is marked already": (asked(CONTINUED, score=0.1), 0.0),
    "what is marked and seen by another expert": (asked(CONTINUED, SEEN, score=0.1), 0.0),
    "an uncertain lesion": (asked(SEEN, score=0.9), 0.5),
    "a faint, distant match": (matched(0.16, 0.1), 0.72),
    "a certain score": (matched(0.16, 1.0), 0.0),
    "an identical look": (matched(0.0, 0.1), 0.0),
    "a match seen by another expert": (
        asked(Reason(Rule.INTRA_PATIENT, distance=0.1, distance_limit=0.2), SEEN, score=0.5),
        0.25,
    ),
}


@pytest.mark.parametrize("name", USES)
def test_the_use_of_an_answer_is_the_change_it_is_expected_to_make(name: str) -> None:
    candidate, expected = USES[name]
    assert expected_use(candidate) == pytest.approx(expected)


def test_the_more_useful_answer_is_asked_for_first_however_interesting_the_other_is() -> None:
    order = [matched(0.19, 0.02), asked(SEEN, score=1.0), matched(0.1, 0.5), asked(CONTINUED, score=0.5)]
    values = [priority(candidate, ("universal",)) for candidate in order]
    assert values == sorted(values, reverse=True)


def test_interest_decides_between_equal_uses() -> None:
    dull, doubtful = (asked(SEEN, score=score) for score in (0.95, 0.55))
    assert priority(doubtful, ("universal",)) > priority(dull, ("universal",))


@given(scores, st.floats(0, 0.2), st.floats(0, 0.2), scores)
def test_a_place_in_the_queue_is_a_share(score: float, distance: float, other: float, seen: float) -> None:
    for candidate in (matched(distance, score), asked(SEEN, score=score, experts={"lung": seen})):
        assert 0 <= priority(candidate, ("universal",)) <= 1
    nearer, farther = sorted((distance, other))
    assert expected_use(matched(nearer, score)) <= expected_use(matched(farther, score))
