"""The rules of `decision_rules` about two boxes as SQL, for questions about a whole project at once.

Plain arithmetic in the same order as there, so that every database gives the same answer to the last digit.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, and_, case, or_

from lens_engine.findings import Verdict
from lens_engine.store.decision_rules import MAX_GROWTH_OF_REJECTION, MIN_OVERLAP

AXES = ("x", "y", "z")

Number = ColumnElement[float]
Condition = ColumnElement[bool]
Row = Any
"""An alias of a table, or the columns of a common table expression, with the six edges of a box."""


def is_same_place(box: Row, other: Row) -> Condition:
    """Return `decision_rules.is_same_place` of the boxes of two rows."""
    is_near = [and_(_low(box, axis) <= _high(other, axis), _low(other, axis) <= _high(box, axis)) for axis in "zyx"]
    return and_(
        *is_near,  # a few comparisons leave out most pairs before anything is computed
        or_(_intersection_over_union(box, other) >= MIN_OVERLAP, _holds_centre(box, other), _holds_centre(other, box)),
    )


def inherits(decision: Row, candidate: Row) -> Condition:
    """Return `decision_rules.inherits` of a row with a box and a verdict, and a row with a box."""
    return and_(
        decision.verdict != Verdict.WITHDRAWN,
        is_same_place(decision, candidate),
        or_(
            decision.verdict != Verdict.REJECTED,
            _volume(candidate) <= MAX_GROWTH_OF_REJECTION * _volume(decision),
        ),
    )


def _low(box: Row, axis: str) -> Number:
    edge: Number = getattr(box, f"{axis}1")
    return edge


def _high(box: Row, axis: str) -> Number:
    edge: Number = getattr(box, f"{axis}2")
    return edge


def _intersection_over_union(box: Row, other: Row) -> Number:
    def side(axis: str) -> Number:
        high = _lesser(_high(box, axis), _high(other, axis))
        return _positive(high - _greater(_low(box, axis), _low(other, axis)))

    shared = _product(side)
    union = _volume(box) + _volume(other) - shared
    return case((union > 0, shared / union), else_=0.0)


def _volume(box: Row) -> Number:
    return _product(lambda axis: _positive(_high(box, axis) - _low(box, axis)))


def _holds_centre(box: Row, other: Row) -> Condition:
    centres = {axis: (_low(other, axis) + _high(other, axis)) / 2.0 for axis in AXES}
    return and_(
        *(and_(centre >= _low(box, axis), centre < _high(box, axis)) for axis, centre in centres.items()),
    )


def _product(side: Callable[[str], Number]) -> Number:
    return side("x") * side("y") * side("z")


def _lesser(one: Number, other: Number) -> Number:
    return case((one < other, one), else_=other)


def _greater(one: Number, other: Number) -> Number:
    return case((one > other, one), else_=other)


def _positive(number: Number) -> Number:
    return case((number > 0, number), else_=0.0)
