"""The rules of `decision_rules` about two boxes as SQL, for questions about a whole project at once.

Plain arithmetic in the same order as there, so that every database gives the same answer to the last digit.
"""

from functools import reduce
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_

from lens_engine.findings import POSITIVE_VERDICTS, ReasonCode, Verdict
from lens_engine.store.decision_rules import MAX_GROWTH_OF_REJECTION, MIN_COVER, MIN_OVERLAP

AXES = ("x", "y", "z")

Number = ColumnElement[float]
Condition = ColumnElement[bool]
Row = Any
"""An alias of a table, or the columns of a common table expression, with the six edges of a box."""


def edges(box: Row) -> list[Number]:
    """Return the six edges of the box of a row, for a query that passes them on."""
    return [side(box, axis) for side in (_low, _high) for axis in AXES]


def is_same_place(box: Row, other: Row) -> Condition:
    """Return `decision_rules.is_same_place` of the boxes of two rows."""
    return and_(
        _is_near(box, other),
        or_(_intersection_over_union(box, other) >= MIN_OVERLAP, _holds_centre(box, other), _holds_centre(other, box)),
    )


def inherits(decision: Row, candidate: Row) -> Condition:
    """Return `decision_rules.inherits` of a row with a box, a verdict and its reason, and a row with a box."""
    return and_(
        decision.verdict != Verdict.WITHDRAWN,
        ~is_copy(decision),
        is_same_place(decision, candidate),
        or_(decision.verdict != Verdict.REJECTED, is_little_larger(candidate, decision)),
    )


def covers(box: Row, other: Row) -> Condition:
    """Return `decision_rules.covers` of the boxes of two rows."""
    shared = _shared_volume(box, other)
    return and_(_is_near(box, other), shared > 0, shared >= MIN_COVER * _shared_volume(other))


def ends(later: Row, earlier: Row) -> Condition:
    """Return `decision_rules.ends` of a row with a box, a verdict and its reason, and a row with a box."""
    is_little = or_(later.verdict != Verdict.REJECTED, is_little_larger(later, earlier))
    return or_(later.verdict == Verdict.WITHDRAWN, and_(~is_copy(later), covers(later, earlier), is_little))


def is_copy(decision: Row) -> Condition:
    """Return `findings.is_copy` of a row with a verdict and its reason."""
    return and_(
        decision.verdict == Verdict.REJECTED, func.coalesce(decision.reason_code == ReasonCode.DUPLICATE, False)
    )


def is_part(part: Row, whole: Row) -> Condition:
    """Return `decision_rules.is_part` of two rows with a box, a verdict and an id."""
    own, other = _shared_volume(part), _shared_volume(whole)
    is_larger = or_(other > own, and_(other == own, whole.id < part.id))
    return and_(
        part.id != whole.id,
        part.verdict == Verdict.ACCEPTED,
        covers(whole, part),
        whole.verdict.in_(POSITIVE_VERDICTS),
        or_(whole.verdict != Verdict.ACCEPTED, is_larger),
    )


def cover_together(whole: Row, one: Row, other: Row) -> Condition:
    """Return whether boxes cover 0.8 of another, over all pairs `one.id <= other.id` of them; see `decision_rules`."""
    shared = _shared_volume(whole, one, other)
    return func.sum(case((one.id == other.id, shared), else_=-shared)) >= MIN_COVER * _shared_volume(whole)


def is_little_larger(box: Row, other: Row) -> Condition:
    """Return whether a box has at most twice the volume of another."""
    return _shared_volume(box) <= MAX_GROWTH_OF_REJECTION * _shared_volume(other)


def _is_near(box: Row, other: Row) -> Condition:
    """Return whether two boxes touch: a few comparisons leave out most pairs before anything is computed."""
    return and_(*(and_(_low(box, axis) <= _high(other, axis), _low(other, axis) <= _high(box, axis)) for axis in "zyx"))


def _low(box: Row, axis: str) -> Number:
    edge: Number = getattr(box, f"{axis}1")
    return edge


def _high(box: Row, axis: str) -> Number:
    edge: Number = getattr(box, f"{axis}2")
    return edge


def _intersection_over_union(box: Row, other: Row) -> Number:
    shared = _shared_volume(box, other)
    union = _shared_volume(box) + _shared_volume(other) - shared
    return case((union > 0, shared / union), else_=0.0)


def _shared_volume(*boxes: Row) -> Number:
    def side(axis: str) -> Number:
        high = reduce(_lesser, [_high(box, axis) for box in boxes])
        return _positive(high - reduce(_greater, [_low(box, axis) for box in boxes]))

    return side("x") * side("y") * side("z")


def _holds_centre(box: Row, other: Row) -> Condition:
    centres = {axis: (_low(other, axis) + _high(other, axis)) / 2.0 for axis in AXES}
    return and_(
        *(and_(centre >= _low(box, axis), centre < _high(box, axis)) for axis, centre in centres.items()),
    )


def _lesser(one: Number, other: Number) -> Number:
    return case((one < other, one), else_=other)


def _greater(one: Number, other: Number) -> Number:
    return case((one > other, one), else_=other)


def _positive(number: Number) -> Number:
    return case((number > 0, number), else_=0.0)
