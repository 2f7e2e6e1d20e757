"""Boxes of several copies of a slice become one for each lesion, weighted by their scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measures.mining_cases import Seen, proposals

from lens_engine.mining.strategies.copies import FusedOutput, ScoredBoxes, fuse_copies

Row = tuple[float, float]
"""A square of 20 at x, and its score."""


def copy(*rows: Row) -> ScoredBoxes:
    boxes = [[x, 50, x + 20, 70] for x, _ in rows]
    return ScoredBoxes(np.asarray(boxes, dtype=float).reshape(-1, 4), np.asarray([score for _, score in rows]))


FUSED: dict[str, tuple[list[list[Row]], list[Row]]] = {
    "the same in all": ([[(0, 0.9)], [(0, 0.9)], [(0, 0.9)]], [(0, 0.9)]),
    "seen by one of three": ([[(0, 0.9)], [], []], [(0, 0.3)]),
    "the surer one pulls more": ([[(0, 0.9)], [(4, 0.3)]], [(1, 0.6)]),
    "two lesions": ([[(0, 0.8)], [(0, 0.6), (50, 0.9)]], [(0, 0.7), (50, 0.45)]),
    "half an overlap or less": ([[(0, 0.8)], [(7, 0.6)]], [(0, 0.4), (7, 0.3)]),
    "twice in one copy": ([[(0, 0.8), (4, 0.8)], []], [(2, 0.4)]),
    "without any score": ([[(0, 0.0)], [(4, 0.0)]], [(2, 0.0)]),
    "nothing anywhere": ([[], []], []),
    "no copies": ([], []),
}


@pytest.mark.parametrize("name", FUSED)
def test_copies_are_fused_as_drawn(name: str) -> None:
    copies, expected = FUSED[name]
    found = fuse_copies([copy(*rows) for rows in copies], 0.5)
    assert list(zip(found.boxes[:, 0], found.scores, strict=True)) == [pytest.approx(row) for row in expected]


copies = st.lists(
    st.lists(st.tuples(st.integers(0, 60).map(float), st.integers(1, 1000).map(lambda n: n / 1000)), max_size=4),
    min_size=1,
    max_size=4,
)


@given(copies, st.randoms())
def test_the_order_of_the_copies_does_not_matter(drawn: list[list[Row]], random: object) -> None:
    scores = [score for rows in drawn for _, score in rows]
    if len(set(scores)) < len(scores):
        return  # equal scores are taken in the order of the copies
    one = fuse_copies([copy(*rows) for rows in drawn], 0.5)
    other = fuse_copies([copy(*rows) for rows in reversed(drawn)], 0.5)
    assert sorted(one.boxes[:, 0]) == pytest.approx(sorted(other.boxes[:, 0]))
    assert one.scores == pytest.approx(other.scores)


@given(copies)
def test_no_box_leaves_its_group_and_no_score_is_raised(drawn: list[list[Row]]) -> None:
    found = fuse_copies([copy(*rows) for rows in drawn], 0.5)
    xs, scores = [x for rows in drawn for x, _ in rows], [score for rows in drawn for _, score in rows]
    assert len(found.scores) <= len(scores)
    assert all(min(xs) - 1e-9 <= x <= max(xs) + 1e-9 for x in found.boxes[:, 0])
    assert all(score <= max(scores) + 1e-9 for score in found.scores)
    assert (np.diff(found.scores) <= 0).all()


def test_a_single_copy_is_read_as_it_is() -> None:
    boxes = proposals([Seen(0, range(3, 5), {"lung": 0.5}), Seen(4, range(4, 5), {"lung": 0.75})])
    output = FusedOutput([boxes], 0.5)
    assert output.at(4).boxes[:, 0].tolist() == [0, 4]
    assert output.at(9).scores.tolist() == []
    assert FusedOutput([boxes, boxes], 0.5).at(4).scores.tolist() == [0.75]
