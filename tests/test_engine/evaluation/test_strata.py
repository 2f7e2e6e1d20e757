"""Strata of lesions: they add up, share false positives, and have the names of the papers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measures.froc_cases import Volumes, box, evaluations, half_open, random_evaluation, volumes

from lens_engine.errors import BoxError
from lens_engine.evaluation.froc import match
from lens_engine.evaluation.strata import NOT_STATED, by_stratum, size_class, size_classes


@given(evaluations(distinct_scores=True), st.data())
def test_the_strata_add_up_to_the_whole(case: tuple[Volumes, Volumes], data: st.DataObject) -> None:
    matches = match(half_open(case[0]), half_open(case[1]))
    kinds = st.sampled_from(["lung", "liver", None])
    names = data.draw(st.lists(kinds, min_size=len(matches.found_by), max_size=len(matches.found_by)))
    parts = by_stratum(matches, names)
    assert sum(part.new_lesions for part in parts.values()) == pytest.approx(matches.new_lesions)
    assert sum(len(part.found_by) for part in parts.values()) == len(matches.found_by)
    for part in parts.values():
        assert part.is_false_positive.tolist() == matches.is_false_positive.tolist()


def test_a_stratum_is_read_at_the_false_positives_of_the_whole() -> None:
    truths = volumes(a=[box(0), box(50)])
    found = volumes(a=[box(0, score=0.9), box(200, score=0.8), box(50, score=0.7)])
    parts = by_stratum(match(found, truths), ["lung", "liver"])
    assert parts["lung"].curve().sensitivity_at((0, 1)).tolist() == [1, 1]
    assert parts["liver"].curve().sensitivity_at((0, 1)).tolist() == [0, 1]


def test_the_average_over_lesions_of_the_strata_is_that_of_the_whole() -> None:
    matches = match(*random_evaluation(20, 30, 0.6, 0))
    kinds = ["lung" if index % 3 else "bone" for index in range(80)]
    parts = by_stratum(matches, kinds)
    weighted = sum(len(part.found_by) * part.curve().average_sensitivity for part in parts.values()) / 80
    assert weighted == pytest.approx(matches.curve().average_sensitivity)


def test_known_strata_come_in_their_order_and_unknown_ones_last() -> None:
    matches = match({}, volumes(a=[box(0), box(50), box(100), box(150)]))
    assert list(by_stratum(matches, [None, "b", "a", "≥ 50 mm"], size_classes())) == ["≥ 50 mm", "a", "b", NOT_STATED]


def test_a_stratum_for_each_lesion_is_needed() -> None:
    with pytest.raises(BoxError, match="1 strata are named for 2 lesions"):
        by_stratum(match({}, volumes(a=[box(0), box(50)])), ["lung"])


@pytest.mark.parametrize(
    ("diameter_mm", "name"),
    [(0, "< 10 mm"), (9.99, "< 10 mm"), (10, "10 to 15 mm"), (17, "15 to 20 mm"), (50, "≥ 50 mm"), (342, "≥ 50 mm")],
)
def test_a_size_class_holds_its_lower_limit(diameter_mm: float, name: str) -> None:
    assert size_class(diameter_mm) == name


def test_sizes_that_are_unknown_or_impossible() -> None:
    assert size_class(None) is None
    for wrong in (-1.0, float("nan")):
        with pytest.raises(BoxError, match="diameter"):
            size_class(wrong)


def test_a_single_edge_makes_two_classes() -> None:
    assert size_classes((10,)) == ("< 10 mm", "≥ 10 mm")
    assert np.unique([size_class(value, (10,)) for value in (3, 30)]).size == 2
