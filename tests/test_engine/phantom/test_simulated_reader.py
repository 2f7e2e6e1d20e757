"""The simulated reader says what is true, and errs at the stated rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.boxes import Overlap, overlaps, pad_in_plane
from lens_engine.errors import ConfigError
from lens_engine.findings import Box3D, Verdict
from lens_engine.phantom.simulated_reader import SimulatedReader

NAME = "000001_01_01_001-040"
LESION: Box3D = (100.0, 100.0, 10.0, 116.0, 116.0, 14.0)
PADDED: Box3D = (95.0, 95.0, 10.0, 121.0, 121.0, 14.0)

corners = st.tuples(*[st.floats(0, 200)] * 2, st.integers(0, 30), *[st.floats(2, 60)] * 2, st.integers(1, 10))
boxes = corners.map(lambda c: (c[0], c[1], float(c[2]), c[0] + c[3], c[1] + c[4], float(c[2] + c[5])))


@pytest.mark.parametrize(
    ("box", "verdict"),
    [
        (PADDED, Verdict.ACCEPTED),
        ((95.0, 95.0, 10.0, 121.0, 121.0, 13.0), Verdict.ACCEPTED),
        (LESION, Verdict.ADJUSTED),
        ((95.0, 95.0, 10.0, 121.0, 121.0, 11.0), Verdict.ADJUSTED),
        ((70.0, 70.0, 6.0, 130.0, 130.0, 18.0), Verdict.UNSURE),
        ((112.0, 112.0, 10.0, 138.0, 138.0, 14.0), Verdict.UNSURE),
        ((118.0, 118.0, 10.0, 140.0, 140.0, 14.0), Verdict.REJECTED),
        ((30.0, 30.0, 10.0, 56.0, 56.0, 14.0), Verdict.REJECTED),
    ],
    ids=["padded", "a slice short", "tight", "one slice", "far too large", "beside, touching", "in the margin", "away"],
)
def test_reader_says_what_is_true(box: Box3D, verdict: Verdict) -> None:
    assert SimulatedReader({NAME: [LESION]}).answer(NAME, box).verdict is verdict


def test_reader_corrects_to_the_lesion_with_the_margin_of_the_boxes_asked_about() -> None:
    answer = SimulatedReader({NAME: [LESION]}).answer(NAME, LESION)
    assert (answer.verdict, answer.box) == (Verdict.ADJUSTED, PADDED)


def test_reader_without_margin_accepts_a_tight_box() -> None:
    reader = SimulatedReader({NAME: [LESION]}, margin_voxels=0)
    assert reader.answer(NAME, LESION).verdict is Verdict.ACCEPTED


def test_reader_rejects_everything_in_a_healthy_series() -> None:
    reader = SimulatedReader({NAME: []})
    assert reader.answer(NAME, LESION).verdict is Verdict.REJECTED
    assert reader.missed(NAME, [LESION]) == ()


def test_reader_adds_only_what_nobody_asked_about() -> None:
    other: Box3D = (30.0, 30.0, 20.0, 40.0, 40.0, 24.0)
    reader = SimulatedReader({NAME: [LESION, other]})
    on_key_slice = (98.0, 98.0, 12.0, 118.0, 118.0, 13.0)
    assert reader.missed(NAME, [on_key_slice]) == ((25.0, 25.0, 20.0, 45.0, 45.0, 24.0),)
    assert reader.missed(NAME, [on_key_slice, other]) == ()


@given(asked=boxes, lesions=st.lists(boxes, max_size=5))
def test_what_the_reader_makes_of_a_box_is_accepted_when_asked_again(asked: Box3D, lesions: list[Box3D]) -> None:
    reader = SimulatedReader({NAME: lesions})
    answer = reader.answer(NAME, asked)
    if answer.verdict in (Verdict.ACCEPTED, Verdict.ADJUSTED):
        assert reader.answer(NAME, answer.box).verdict is Verdict.ACCEPTED
        ious = overlaps(np.asarray([answer.box]), pad_in_plane(np.asarray(lesions), 5.0), Overlap.IOU)
        assert ious.max() >= 0.5


@given(lesions=st.lists(boxes, max_size=5), asked=st.lists(boxes, max_size=5))
def test_nothing_is_missed_after_adding(lesions: list[Box3D], asked: list[Box3D]) -> None:
    reader = SimulatedReader({NAME: lesions})
    added = reader.missed(NAME, asked)
    assert all(reader.answer(NAME, box).verdict is Verdict.ACCEPTED for box in added)
    assert reader.missed(NAME, [*asked, *added]) == ()


@given(asked=st.lists(boxes, min_size=1, max_size=8), rate=st.floats(0, 1), seed=st.integers(0, 9))
def test_answers_do_not_depend_on_the_order_of_the_questions(asked: list[Box3D], rate: float, seed: int) -> None:
    forward, backward = (SimulatedReader({NAME: [LESION]}, rate, seed) for _ in range(2))
    answers = [forward.answer(NAME, box) for box in asked]
    assert answers == [backward.answer(NAME, box) for box in reversed(asked)][::-1]


@given(asked=boxes, rates=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted))
def test_who_errs_at_a_low_rate_errs_at_a_higher_one(asked: Box3D, rates: list[float]) -> None:
    right = SimulatedReader({NAME: [LESION]}).answer(NAME, asked)
    low, high = (SimulatedReader({NAME: [LESION]}, rate).answer(NAME, asked) for rate in rates)
    assert low == right or high != right


@pytest.mark.parametrize(
    ("box", "wrong"),
    [(PADDED, Verdict.REJECTED), (LESION, Verdict.REJECTED), ((30.0, 30.0, 1.0, 50.0, 50.0, 4.0), Verdict.ACCEPTED)],
    ids=["accepted", "adjusted", "rejected"],
)
def test_a_wrong_answer_takes_a_lesion_for_none_and_the_other_way_round(box: Box3D, wrong: Verdict) -> None:
    answer = SimulatedReader({NAME: [LESION]}, error_rate=1.0).answer(NAME, box)
    assert (answer.verdict, answer.box) == (wrong, box)


def test_errors_have_the_stated_rate_and_differ_between_seeds() -> None:
    lesions = [(x, y, 4.0, x + 8, y + 8, 7.0) for x in np.arange(0, 600, 20.0) for y in np.arange(0, 600, 20.0)]
    rejected, overlooked = [], []
    for seed in (1, 2):
        reader = SimulatedReader({NAME: lesions}, error_rate=0.2, seed=seed, margin_voxels=0)
        rejected.append([reader.answer(NAME, box).verdict is Verdict.REJECTED for box in lesions])
        overlooked.append(len(lesions) - len(reader.missed(NAME, [])))
    assert np.mean(rejected, axis=1) == pytest.approx([0.2, 0.2], abs=0.05)
    assert np.divide(overlooked, len(lesions)) == pytest.approx([0.2, 0.2], abs=0.05)
    assert rejected[0] != rejected[1]


def test_error_rate_has_to_be_a_share() -> None:
    with pytest.raises(ConfigError, match=r"1\.5"):
        SimulatedReader({}, error_rate=1.5)
