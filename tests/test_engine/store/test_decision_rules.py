from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.boxes import sizes
from lens_engine.findings import Box3D, Verdict
from lens_engine.store.decision_rules import best_match, covers, ends, inherits, is_same_place, standing_ids

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
    verdict: Verdict = Verdict.ACCEPTED
    box: Box3D = SMALL


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
    assert standing_ids(rows) == {2, 4, 6}


@given(box=boxes(), other=boxes())
def test_only_a_box_of_about_the_size_or_more_covers_another(box: Box3D, other: Box3D) -> None:
    own, measure = sizes(np.asarray([box, other]))
    assert covers(box, box)
    if covers(box, other):
        assert own >= 0.8 * measure
        assert is_same_place(box, other) or own > measure / 0.8


@pytest.mark.parametrize(
    ("later", "verdict", "earlier", "expected"),
    [
        (SMALL, Verdict.ACCEPTED, SMALL, True),
        (SMALL, Verdict.ACCEPTED, GROWN, False),
        (GROWN, Verdict.REJECTED, SMALL, True),
        (LARGE, Verdict.REJECTED, SMALL, False),
        (LARGE, Verdict.UNSURE, SMALL, True),
        (FAR, Verdict.ADJUSTED, SMALL, False),
        (FAR, Verdict.WITHDRAWN, SMALL, True),
    ],
)
def test_decision_ends_the_one_it_follows(later: Box3D, verdict: Verdict, earlier: Box3D, expected: bool) -> None:
    assert ends(later, verdict, earlier) is expected


def part(low: float, high: float) -> Box3D:
    return 0.0, 0.0, low, 4.0, 4.0, high


REJECTED, ACCEPTED = Verdict.REJECTED, Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("parts", "stands"),
    [
        ([part(0, 5)], True),
        ([part(0, 5), part(5, 10)], False),
        ([part(0, 5), part(0, 5)], True),
        ([part(0, 4), part(2, 7), part(6, 10)], False),
        ([part(0, 4), part(4, 7)], True),
    ],
)
def test_rejections_of_parts_end_the_whole_that_they_cover_together(parts: list[Box3D], stands: bool) -> None:
    whole = Row(1, box=part(0, 10))
    rejections = [Row(number, 1, number, REJECTED, box) for number, box in enumerate(parts, 2)]
    assert (1 in standing_ids([whole, *rejections])) is stands
    accepted = [Row(number, 1, number, ACCEPTED, box) for number, box in enumerate(parts, 2)]
    assert 1 in standing_ids([whole, *accepted])


def test_a_rejection_of_a_part_that_was_taken_back_does_not_count() -> None:
    rows = [
        Row(1, box=part(0, 10)),
        Row(2, 1, 5, REJECTED, part(0, 5)),
        Row(3, 1, 6, REJECTED, part(5, 10)),
        Row(4, 3, 6, Verdict.WITHDRAWN, part(5, 10)),
    ]
    assert standing_ids(rows) == {1, 2, 4}
