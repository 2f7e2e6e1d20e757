import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.training.objective_cases import GRID, boxes

from lens_engine.boxes import overlaps
from lens_training.datasets.labels import SliceLabels
from lens_training.detector.objectives.base import IGNORED, NEGATIVE, POSITIVE
from lens_training.detector.objectives.cell_objective import error_of_positives
from lens_training.detector.objectives.centernet import heat_loss, heat_targets, splat_radius

sides = st.floats(1, 60)


@given(width=sides, height=sides)
def test_the_radius_of_the_splat_is_the_largest_that_leaves_the_overlap(width: float, height: float):
    radius = splat_radius(width, height)
    moved = np.array([(1, 1, 1, 1), (1, 1, -1, -1), (-1, -1, 1, 1)]) * radius
    lesion = np.array([0, 0, width, height])
    assert overlaps(lesion + moved, lesion[None]).min() == pytest.approx(0.7)


def test_one_cell_is_positive_and_the_heat_falls_around_it():
    targets = heat_targets(SliceLabels(lesions=boxes((4, 4, 60, 60))), GRID)
    assert np.argwhere(targets.roles.numpy() == POSITIVE).tolist() == [[8, 8]]
    assert (targets.roles == NEGATIVE).sum() == 16 * 16 - 1
    assert targets.heat[8, 8] == 1
    assert 0 < targets.heat[8, 9] == targets.heat[7, 8] < 1
    assert targets.heat.count_nonzero() == 9  # 14 cells may be off by one of them


@given(x=st.floats(0, 40), y=st.floats(0, 40), width=st.floats(4, 24), height=st.floats(4, 24))
def test_size_and_offset_lead_from_the_cell_back_to_the_box(x: float, y: float, width: float, height: float):
    targets = heat_targets(SliceLabels(lesions=boxes((x, y, x + width, y + height))), GRID)
    [(row, column)] = np.argwhere(targets.roles.numpy() == POSITIVE)
    centre = (np.array([column, row]) + targets.offsets[:, row, column].numpy()) * 4
    half = targets.sizes[:, row, column].numpy() * 2
    np.testing.assert_allclose([*(centre - half), *(centre + half)], [x, y, x + width, y + height], atol=1e-4)
    assert ((targets.offsets >= 0) & (targets.offsets <= 1)).all()


def test_of_two_lesions_at_one_cell_the_smaller_one_is_learnt():
    targets = heat_targets(SliceLabels(lesions=boxes((26, 26, 38, 38), (0, 0, 64, 64))), GRID)
    assert targets.sizes[:, 8, 8].tolist() == [3, 3]


def test_only_the_central_half_of_an_uncertain_place_is_ignored():
    roles = heat_targets(SliceLabels(uncertain=boxes((8, 8, 40, 40))), GRID).roles
    assert roles[6, 6] == IGNORED
    assert roles[2, 2] == NEGATIVE
    assert POSITIVE not in roles


def test_a_negative_near_a_centre_counts_less():
    roles = torch.tensor([[[POSITIVE, NEGATIVE, IGNORED]]], dtype=torch.int8)
    logits = torch.logit(torch.tensor([[[0.8, 0.3, 0.9]]]))
    loss = heat_loss(logits, torch.tensor([[[1.0, 0.5, 0.0]]]), roles)
    assert loss.item() == pytest.approx(-(0.2**2) * np.log(0.8) - 0.5**4 * 0.3**2 * np.log(0.7), rel=1e-5)


def test_sizes_and_offsets_count_at_centres_only():
    roles = torch.tensor([[[POSITIVE, NEGATIVE]]], dtype=torch.int8)
    values, targets = torch.zeros(1, 2, 1, 2), torch.full((1, 2, 1, 2), 3.0)
    assert error_of_positives(values, targets, roles) == 6
    assert error_of_positives(values, targets, torch.zeros_like(roles)) == 0
