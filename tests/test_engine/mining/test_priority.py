"""The order of the queue: disagreement, doubt and resemblance each raise it, and it stays in [0, 1]."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.findings import Candidate, CandidateKind, Finding, Reason, Rule
from lens_engine.mining.priority import priority

scores = st.floats(0, 1)


def value(score: float, experts: dict[str, float], distance: float | None = None, limit: float | None = 0.15) -> float:
    finding = Finding("fused", (0, 0, 0, 1, 1, 1), (), score, experts)
    rule = Rule.CROSS_DATASET if distance is None else Rule.INTRA_PATIENT
    reason = Reason(rule, distance=distance, distance_limit=limit)
    return priority(Candidate(1, finding, CandidateKind.UNCERTAIN, (reason,)), ("universal",))


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
