"""The order of the queue: the likelier an answer adds a lesion, the earlier it is asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.findings import FUSED, Candidate, CandidateKind, Finding, Reason, Rule
from lens_engine.mining.priority import priority

scores = st.floats(0, 1)


def value(candidate: Candidate) -> float:
    return priority(candidate, ("universal",))


def asked(*reasons: Reason, score: float = 0.5, experts: dict[str, float] | None = None) -> Candidate:
    only_seen = all(reason.rule is Rule.CROSS_DATASET for reason in reasons)
    kind = CandidateKind.UNCERTAIN if only_seen else CandidateKind.MISSING_ANNOTATION
    return Candidate(1, Finding(FUSED, (0, 0, 0, 1, 1, 1), (), score, experts or {}), kind, reasons)


def matched(distance: float, experts: dict[str, float] | None = None) -> Candidate:
    return asked(Reason(Rule.INTRA_PATIENT, distance=distance, distance_limit=0.2), experts=experts)


SEEN = Reason(Rule.CROSS_DATASET, expert="lung", score=0.8)
CONTINUED = Reason(Rule.CROSS_SLICE, annotation_id=1)

CHANCES = {
    "what is marked already": (asked(CONTINUED, score=0.9), 0.0),
    "what is marked and seen by another expert": (asked(CONTINUED, SEEN, experts={"lung": 0.9}), 0.0),
    "seen by one kind of expert": (asked(SEEN, experts={"lung": 0.8, "liver": 0.6}), 0.8),
    "seen by both kinds": (asked(SEEN, experts={"lung": 0.8, "universal": 0.5}), 0.9),
    "the fusion is no expert": (asked(SEEN, experts={"lung": 0.8, FUSED: 0.9}), 0.8),
    "a score of nobody in particular": (asked(SEEN, score=0.7), 0.7),
    "an identical look": (matched(0.0, {"universal": 0.1}), 1.0),
    "a match half way to the limit": (matched(0.1, {"universal": 0.5}), 0.75),
}


@pytest.mark.parametrize("name", CHANCES)
def test_an_answer_adds_a_lesion_unless_all_that_speak_for_it_are_wrong(name: str) -> None:
    candidate, expected = CHANCES[name]
    assert value(candidate) == pytest.approx(expected)


@given(scores, scores, scores, st.floats(0, 0.5))
def test_it_is_a_share_and_never_falls_when_an_expert_gets_surer(
    universal: float, lung: float, surer: float, distance: float
) -> None:
    low, high = sorted((lung, surer))
    places = [matched(distance, {"universal": universal, "lung": score}) for score in (low, high)]
    values = [value(place) for place in places]
    assert 0 <= values[0] <= values[1] <= 1


@given(st.floats(0, 0.2), st.floats(0, 0.2), scores)
def test_a_nearer_match_is_asked_for_earlier(distance: float, other: float, score: float) -> None:
    nearer, farther = sorted((distance, other))
    assert value(matched(nearer, {"universal": score})) >= value(matched(farther, {"universal": score}))
