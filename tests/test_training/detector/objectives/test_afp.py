import numpy as np
import torch
from support.training.objective_cases import GRID, boxes

from lens_training.datasets.labels import SliceLabels
from lens_training.detector.objectives.afp import centre_loss, centre_targets
from lens_training.detector.objectives.base import IGNORED, NEGATIVE, POSITIVE
from lens_training.detector.objectives.cell_objective import error_of_positives

ROLES = torch.tensor([[[POSITIVE, NEGATIVE, IGNORED]]], dtype=torch.int8)


def roles(labels: SliceLabels) -> np.ndarray:
    return centre_targets(labels, GRID).roles.numpy()


def test_the_cell_at_the_centre_is_positive_and_its_surroundings_ignored():
    cells = roles(SliceLabels(lesions=boxes((12, 12, 52, 52))))
    assert cells[8, 8] == POSITIVE
    assert cells[8, 9] == IGNORED  # its point at 38 lies in the central half, which ends at 42
    assert cells[8, 11] == NEGATIVE
    assert cells[0, 0] == NEGATIVE


def test_distances_lead_from_the_cell_back_to_the_box():
    targets = centre_targets(SliceLabels(lesions=boxes((10, 21, 31, 44))), GRID)
    for row, column in np.argwhere(targets.roles.numpy() == POSITIVE):
        top, bottom, left, right = targets.distances[:, row, column].numpy() * 4
        x, y = column * 4 + 2, row * 4 + 2
        np.testing.assert_allclose([x - left, y - top, x + right, y + bottom], [10, 21, 31, 44], atol=1e-4)


def test_the_smaller_of_two_nested_lesions_gets_the_shared_cell():
    targets = centre_targets(SliceLabels(lesions=boxes((26, 26, 38, 38), (0, 0, 64, 64))), GRID)
    assert targets.distances[0, 8, 8] * 4 == 34 - 26


def test_only_the_central_half_of_an_uncertain_place_is_ignored():
    cells = roles(SliceLabels(uncertain=boxes((8, 8, 40, 40))))
    assert cells[6, 6] == IGNORED
    assert cells[2, 2] == NEGATIVE
    assert POSITIVE not in cells


def test_the_whole_of_an_unsure_place_is_ignored():
    cells = roles(SliceLabels(unsure=boxes((8, 8, 40, 40))))
    assert (cells[2:10, 2:10] == IGNORED).all()
    assert (cells == IGNORED).sum() == 64


def test_the_centre_loss_is_the_focal_loss_of_the_paper():
    probability = torch.tensor([[[0.8, 0.3, 0.9]]])
    expected = -0.5 * ((1 - 0.8) ** 2 * torch.log(torch.tensor(0.8)) + 0.3**2 * torch.log(torch.tensor(1 - 0.3)))
    assert torch.allclose(centre_loss(torch.logit(probability), ROLES), expected)


def test_sizes_count_at_positive_cells_only():
    distances, targets = torch.zeros(1, 4, 1, 3), torch.ones(1, 4, 1, 3) * 2
    assert error_of_positives(distances, targets, ROLES) == 8
    assert error_of_positives(distances, targets, torch.zeros_like(ROLES)) == 0
