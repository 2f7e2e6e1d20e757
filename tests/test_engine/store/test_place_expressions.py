"""The SQL of the rules about places says what the rules say."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, String, create_engine, literal, select

from lens_engine.findings import Box3D, ReasonCode, Verdict
from lens_engine.store import decision_rules
from lens_engine.store.place_expressions import covers, ends, inherits, is_part, is_same_place

NAMES = ("x1", "y1", "z1", "x2", "y2", "z2")

edges = st.one_of(st.integers(0, 8).map(float), st.floats(0, 8, width=32))


@st.composite
def boxes(draw: st.DrawFn) -> Box3D:
    """Return small boxes in a small space, so that they meet; some are flat."""
    (x1, x2), (y1, y2), (z1, z2) = (sorted((draw(edges), draw(edges))) for _ in range(3))
    return x1, y1, z1, x2, y2, z2


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.connect() as opened:
        yield opened
    engine.dispose()


REASONS = st.sampled_from([None, ReasonCode.VESSEL, ReasonCode.DUPLICATE])


@dataclass(frozen=True)
class Said:
    """A decision as the rules see it."""

    id: int
    box: Box3D
    verdict: Verdict
    previous_id: int | None = None
    candidate_id: int | None = None
    mining_run: int | None = None
    reason_code: ReasonCode | None = None


def row(box: Box3D, verdict: Verdict = Verdict.ACCEPTED, reason: ReasonCode | None = None, number: int = 1) -> Any:
    columns = {name: literal(edge) for name, edge in zip(NAMES, box, strict=True)}
    said = {"id": literal(number), "verdict": literal(verdict.value), "reason_code": literal(reason, String)}
    return SimpleNamespace(**columns, **said)


@given(one=boxes(), other=boxes())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_two_boxes_are_one_place_where_the_rule_says_so(connection: Connection, one: Box3D, other: Box3D) -> None:
    expected = decision_rules.is_same_place(one, other)
    assert bool(connection.scalar(select(is_same_place(row(one), row(other))))) is expected


@given(decided=boxes(), asked=boxes(), verdict=st.sampled_from(Verdict), reason=REASONS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_candidate_inherits_where_the_rule_says_so(
    connection: Connection, decided: Box3D, asked: Box3D, verdict: Verdict, reason: ReasonCode | None
) -> None:
    expected = decision_rules.inherits(decided, verdict, asked, reason)
    assert bool(connection.scalar(select(inherits(row(decided, verdict, reason), row(asked))))) is expected


@given(box=boxes(), other=boxes())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_box_covers_another_where_the_rule_says_so(connection: Connection, box: Box3D, other: Box3D) -> None:
    expected = decision_rules.covers(box, other)
    assert bool(connection.scalar(select(covers(row(box), row(other))))) is expected


@given(
    later=boxes(),
    earlier=boxes(),
    grown=st.sampled_from([0.0, 0.5, 3.0]),
    verdict=st.sampled_from(Verdict),
    reason=REASONS,
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_decision_ends_another_where_the_rule_says_so(
    connection: Connection,
    later: Box3D,
    earlier: Box3D,
    grown: float,
    verdict: Verdict,
    reason: ReasonCode | None,
) -> None:
    x1, y1, z1, x2, y2, z2 = earlier
    around = (x1 - grown, y1, z1, x2, y2 + grown, z2)
    for box in (later, around):
        expected = decision_rules.ends(box, verdict, earlier, reason)
        assert bool(connection.scalar(select(ends(row(box, verdict, reason), row(earlier))))) is expected


@given(boxes=st.tuples(boxes(), boxes()), verdicts=st.tuples(st.sampled_from(Verdict), st.sampled_from(Verdict)))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_an_accepted_box_is_part_of_another_where_the_rule_says_so(
    connection: Connection, boxes: tuple[Box3D, Box3D], verdicts: tuple[Verdict, Verdict]
) -> None:
    for pair in (boxes, (boxes[0], boxes[0])):
        one, other = (Said(number, pair[number], verdicts[number]) for number in (0, 1))
        for part, whole in ((one, other), (other, one)):
            in_sql = is_part(*(row(said.box, said.verdict, number=said.id) for said in (part, whole)))
            assert bool(connection.scalar(select(in_sql))) is decision_rules.is_part(part, whole)


@pytest.mark.parametrize("high", [3.0, 3.333, 3.334, 10 / 3])
def test_the_smallest_overlap_is_the_same_to_the_last_digit(connection: Connection, high: float) -> None:
    one, other = (0.0, 0.0, 0.0, 1.0, 1.0, 10.0), (0.0, 0.0, 10.0 - high, 1.0, 1.0, 10.0 + 40.0)
    expected = decision_rules.is_same_place(one, other)
    assert bool(connection.scalar(select(is_same_place(row(one), row(other))))) is expected
