import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.training.objective_cases import GRID, boxes

from lens_training.datasets.labels import SliceLabels
from lens_training.detector.objectives.base import IGNORED, NEGATIVE, POSITIVE
from lens_training.detector.objectives.fcos import cell_loss, centerness_loss, centerness_of, giou_loss, side_targets

sides = st.floats(0.1, 8)


def roles(labels: SliceLabels) -> np.ndarray:
    return side_targets(labels, GRID).roles.numpy()


def test_every_cell_in_a_lesion_is_positive_and_every_other_negative():
    cells = roles(SliceLabels(lesions=boxes((8, 12, 40, 24))))
    assert (cells[3:6, 2:10] == POSITIVE).all()
    assert (cells == POSITIVE).sum() == 3 * 8
    assert (cells == NEGATIVE).sum() == 16 * 16 - 3 * 8


def test_a_cell_in_two_lesions_belongs_to_the_smaller_one():
    targets = side_targets(SliceLabels(lesions=boxes((26, 26, 38, 38), (0, 0, 64, 64))), GRID)
    assert targets.distances[0, 8, 8] * 4 == 34 - 26
    assert targets.distances[0, 2, 2] * 4 == 10


def test_distances_are_never_negative_even_where_no_cell_lies_in_a_lesion():
    targets = side_targets(SliceLabels(lesions=boxes((19, 19, 21, 21))), GRID)
    assert (targets.roles == POSITIVE).sum() == 1
    assert (targets.distances >= 0).all()


@pytest.mark.parametrize("role", ["uncertain", "unsure"])
def test_the_whole_of_an_uncertain_or_unsure_place_is_ignored(role: str):
    cells = roles(SliceLabels(**{role: boxes((8, 8, 40, 40))}))
    assert (cells[2:10, 2:10] == IGNORED).all()
    assert (cells == IGNORED).sum() == 64


def test_the_cell_loss_is_the_focal_loss_with_a_quarter_for_positives():
    labels = torch.tensor([[[POSITIVE, NEGATIVE, IGNORED]]], dtype=torch.int8)
    expected = -0.25 * 0.2**2 * np.log(0.8) - 0.75 * 0.3**2 * np.log(0.7)
    assert cell_loss(torch.logit(torch.tensor([[[0.8, 0.3, 0.9]]])), labels).item() == pytest.approx(expected, rel=1e-5)


def test_centerness_is_one_in_the_middle_and_falls_to_zero_at_the_sides():
    distances = torch.tensor([[3.0, 3, 2, 2], [0, 6, 2, 2], [1, 4, 4, 1]])
    assert centerness_of(distances).tolist() == pytest.approx([1, 0, 0.25])


@given(st.tuples(sides, sides, sides, sides), st.tuples(sides, sides, sides, sides))
def test_the_giou_loss_is_symmetric_lies_between_zero_and_two_and_vanishes_for_equal_boxes(first, second):
    one, other = torch.tensor([first], dtype=torch.float64), torch.tensor([second], dtype=torch.float64)
    loss = giou_loss(one, other)
    assert torch.isclose(loss, giou_loss(other, one))
    assert 0 <= loss.item() < 2
    assert giou_loss(one, one).item() == pytest.approx(0, abs=1e-12)


def test_the_giou_loss_is_that_of_the_definition():
    # 4 x 4 around the point against 2 x 8: shared 8, united 24, hull 4 x 8
    loss = giou_loss(torch.tensor([[2.0, 2, 2, 2]]), torch.tensor([[1.0, 1, 4, 4]]))
    assert loss.item() == pytest.approx(1 - 8 / 24 + (32 - 24) / 32)


def test_no_positive_cell_gives_no_centerness_loss():
    assert centerness_loss(torch.zeros(0), torch.zeros(0)) == 0
