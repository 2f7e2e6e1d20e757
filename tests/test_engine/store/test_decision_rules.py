from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.boxes import sizes
from lens_engine.findings import Box3D, Verdict
from lens_engine.store.decision_rules import best_match, inherits, is_same_place, latest_ids

SMALL: Box3D = (0.0, 0.0, 0.0, 4.0, 4.0, 4.0)
GROWN: Box3D = (0.0, 0.0, 0.0, 5.0, 5.0, 5.0)
LARGE: Box3D = (0.0, 0.0, 0.0, 9.0, 9.0, 9.0)
FAR: Box3D = (50.0, 50.0, 50.0, 54.0, 54.0, 54.0)

edges = st.tuples(st.integers(0, 30), st.integers(1, 20))


@st.composite
def boxes(draw: st.DrawFn) -> Box3D:
    (x, w), (y, h), (z, d) = draw(edges), draw(edges), draw(edges)
    return (float(x), float(y), float(z), float(x + w), float(y + h), float(z + d))


@dataclass(frozen=True)
class Row:
    id: int
    previous_id: int | None = None
    candidate_id: int | None = None


@pytest.mark.parametrize(
    ("verdict", "candidate", "expected"),
    [
        (Verdict.ACCEPTED, GROWN, True),
        (Verdict.ACCEPTED, LARGE, True),
        (Verdict.REJECTED, GROWN, True),
        (Verdict.REJECTED, LARGE, False),
        (Verdict.UNSURE, LARGE, True),
        (Verdict.ACCEPTED, FAR, False),
        (Verdict.WITHDRAWN, SMALL, False),
    ],
)
def test_decision_covers(verdict: Verdict, candidate: Box3D, expected: bool) -> None:
    assert inherits(SMALL, verdict, candidate) is expected


@given(box=boxes(), other=boxes())
def test_same_place_is_mutual_and_every_box_is_its_own(box: Box3D, other: Box3D) -> None:
    assert is_same_place(box, box)
    assert is_same_place(box, other) == is_same_place(other, box)


@given(decided=boxes(), candidate=boxes())
def test_rejection_never_covers_more_than_twice_its_size(decided: Box3D, candidate: Box3D) -> None:
    own, other = sizes(np.asarray([decided, candidate]))
    if inherits(decided, Verdict.REJECTED, candidate):
        assert other <= 2 * own
        assert inherits(decided, Verdict.ACCEPTED, candidate)


@given(box=boxes(), gap=st.integers(0, 9))
def test_boxes_that_do_not_touch_are_two_places(box: Box3D, gap: int) -> None:
    x1, y1, z1, x2, y2, z2 = box
    beside = (x2 + gap, y1, z1, x2 + gap + (x2 - x1), y2, z2)
    assert not is_same_place(box, beside)


def test_candidate_inherits_from_what_it_overlaps_most() -> None:
    assert best_match([(LARGE, Verdict.ACCEPTED), (SMALL, Verdict.REJECTED)], GROWN) == 1
    assert best_match([(FAR, Verdict.ACCEPTED)], GROWN) is None


def test_later_decision_wins_over_an_equal_earlier_one() -> None:
    assert best_match([(SMALL, Verdict.ACCEPTED), (SMALL, Verdict.UNSURE)], SMALL) == 1


def test_only_the_ends_of_chains_count() -> None:
    rows = [Row(1, None, 5), Row(2, 1, 5), Row(3), Row(4, 3), Row(5, None, 6), Row(6, None, 6)]
    assert latest_ids(rows) == {2, 4, 6}
