import random
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.boxes import sizes
from lens_engine.findings import Box3D, ReasonCode, Verdict
from lens_engine.store.decision_rules import best_match, covers, ends, inherits, is_part, is_same_place, standing_ids

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
    reason_code: ReasonCode | None = None
    mining_run: int | None = None


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


COPY = ReasonCode.DUPLICATE


@given(box=boxes(), other=boxes())
def test_a_copy_ends_nothing_and_is_inherited_by_nobody(box: Box3D, other: Box3D) -> None:
    assert not ends(box, REJECTED, other, COPY)
    assert not inherits(box, REJECTED, other, COPY)


def test_a_rejection_that_turns_out_to_be_a_copy_gives_its_original_back() -> None:
    original, rejected = Row(1, None, 5, ACCEPTED), Row(2, 1, 6, REJECTED)
    assert standing_ids([original, rejected]) == {2}
    assert standing_ids([original, rejected, Row(3, 2, 6, REJECTED, reason_code=COPY)]) == {1, 3}


@pytest.mark.parametrize("verdict", [REJECTED, Verdict.UNSURE, ACCEPTED])
def test_taking_back_a_verdict_gives_back_what_it_had_ended(verdict: Verdict) -> None:
    rows = [Row(1, None, 5, ACCEPTED), Row(2, 1, 6, verdict), Row(3, 2, 6, Verdict.WITHDRAWN)]
    assert standing_ids(rows[:2]) == {2}
    assert standing_ids(rows) == {1, 3}


def test_what_was_taken_back_by_place_stays_taken_back() -> None:
    rows = [Row(1, None, 5, box=part(0, 10)), Row(2, 1, 6, Verdict.WITHDRAWN), Row(3, 2, 6, ACCEPTED, part(0, 5))]
    assert standing_ids(rows) == {3}


def test_a_reason_that_comes_later_leaves_a_rejection_the_part_that_it_is() -> None:
    whole = Row(1, box=part(0, 10))
    halves = [Row(2, 1, 5, REJECTED, part(0, 5)), Row(3, 1, 6, REJECTED, part(5, 10))]
    for reason, stands in ((ReasonCode.VESSEL, False), (COPY, True)):
        with_reason = Row(4, 2, 5, REJECTED, part(0, 5), reason)
        assert (1 in standing_ids([whole, *halves, with_reason])) is stands


rows_of_twins = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(Verdict), boxes(), st.sampled_from([None, *ReasonCode])), max_size=12
)


@given(said=rows_of_twins, chance=st.randoms(use_true_random=False))
def test_of_candidates_of_one_run_each_keeps_its_own_last_word(
    said: list[tuple[int, Verdict, Box3D, ReasonCode | None]], chance: random.Random
) -> None:
    rows = [
        Row(number, chance.choice([None, *range(1, number)]), candidate, verdict, box, reason, mining_run=1)
        for number, (candidate, verdict, box, reason) in enumerate(said, 1)
    ]
    assert standing_ids(rows) == {row.id for row in {row.candidate_id: row for row in rows}.values()}


@given(found=st.lists(boxes(), min_size=1, max_size=5), verdicts=st.lists(st.sampled_from(Verdict), min_size=5))
def test_of_accepted_boxes_in_each_other_one_is_left(found: list[Box3D], verdicts: list[Verdict]) -> None:
    rows = [Row(number, verdict=ACCEPTED, box=box) for number, box in enumerate(found, 1)]
    assert any(not any(is_part(part, whole) for whole in rows) for part in rows)
    others = [Row(number, verdict=verdict, box=rows[0].box) for number, verdict in enumerate(verdicts, 10)]
    said_by_hand = {Verdict.ADDED, Verdict.ADJUSTED}
    assert all(is_part(rows[0], other) is (other.verdict in said_by_hand) for other in others)
    assert not any(is_part(other, rows[0]) for other in others if other.verdict is not ACCEPTED)
