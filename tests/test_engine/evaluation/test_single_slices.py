"""P3D: 3D boxes against lesions that are known on one slice, next to a literal reading of the rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measures.froc_cases import Boxes, Volumes, evaluations, half_open, literal_overlap

from lens_engine.boxes import Overlap
from lens_engine.errors import BoxError
from lens_engine.evaluation.froc import match
from lens_engine.evaluation.single_slices import match_single_slices


def on_one_slice(rows: Boxes) -> Boxes:
    """Keep the upper slice of inclusive true boxes."""
    return np.column_stack([rows[:, :5], rows[:, 2]])


@given(evaluations(distinct_scores=True), st.sampled_from(Overlap))
def test_hits_are_those_of_the_literal_rule(case: tuple[Volumes, Volumes], overlap: Overlap) -> None:
    predictions, truths = case[0], {name: on_one_slice(rows) for name, rows in case[1].items()}
    matches = match_single_slices(half_open(predictions), half_open(truths), overlap)
    false_positives = 0
    for name, rows in predictions.items():
        for row in rows:
            hits = [
                row[2] <= true[2] <= row[5] and literal_overlap(in_plane(row), in_plane(true), overlap) >= 0.3
                for true in truths[name]
            ]
            false_positives += not any(hits)
    assert matches.is_false_positive.sum() == false_positives


def in_plane(row: Boxes) -> Boxes:
    return np.asarray([row[0], row[1], 0, row[3], row[4], 0])


@given(evaluations(distinct_scores=True), st.sampled_from(Overlap))
def test_boxes_of_one_slice_are_measured_as_in_three_dimensions(
    case: tuple[Volumes, Volumes], overlap: Overlap
) -> None:
    def thin(rows: Boxes) -> Boxes:
        return np.column_stack([rows[:, :5], rows[:, 2], rows[:, 6:]])

    predictions, truths = ({name: thin(rows) for name, rows in part.items()} for part in case)
    single = match_single_slices(half_open(predictions), half_open(truths), overlap)
    solid = match(half_open(predictions), half_open(truths), overlap)
    assert single.found_by.tolist() == solid.found_by.tolist()
    assert single.is_false_positive.tolist() == solid.is_false_positive.tolist()


def test_a_box_must_cover_the_whole_slice() -> None:
    truth = {"a": np.asarray([[0, 0, 4, 10, 10, 5]])}
    for first, last, found in ((4, 5, 1.0), (0, 5, 1.0), (4.5, 9, 0.0), (5, 9, 0.0), (0, 4, 0.0)):
        curve = match_single_slices({"a": np.asarray([[0, 0, first, 10, 10, last, 0.9]])}, truth).curve()
        assert curve.sensitivity.tolist() == [found]


def test_a_place_that_is_no_number_is_a_false_positive() -> None:
    truth = {"a": np.asarray([[0, 0, 4, 10, 10, 5]])}
    for column in range(6):
        row = np.asarray([[0, 0, 4, 10, 10, 5, 0.9]])
        row[0, column] = np.nan
        assert match_single_slices({"a": row}, truth).is_false_positive.tolist() == [True]


def test_lesions_of_several_slices_are_refused() -> None:
    with pytest.raises(BoxError, match="of a is 2 slices high"):
        match_single_slices({}, {"a": np.asarray([[0, 0, 4, 10, 10, 6]])})
    with pytest.raises(BoxError, match="first is b"):
        match_single_slices({"b": np.zeros((0, 7))}, {"a": np.zeros((0, 6))})
