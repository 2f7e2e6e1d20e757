import torch

from lens_training.losses import box_loss, centre_loss, class_loss, size_loss
from lens_training.targets import IGNORED, NEGATIVE, POSITIVE

LABELS = torch.tensor([[[POSITIVE, NEGATIVE, IGNORED]]], dtype=torch.int8)


def test_the_centre_loss_is_the_focal_loss_of_the_paper():
    probability = torch.tensor([[[0.8, 0.3, 0.9]]])
    expected = -0.5 * ((1 - 0.8) ** 2 * torch.log(torch.tensor(0.8)) + 0.3**2 * torch.log(torch.tensor(1 - 0.3)))
    assert torch.allclose(centre_loss(torch.logit(probability), LABELS), expected)


def test_ignored_cells_have_no_gradient():
    logits = torch.zeros(1, 1, 3, requires_grad=True)
    centre_loss(logits, LABELS).backward()
    assert logits.grad is not None
    assert (logits.grad[0, 0] != 0).tolist() == [True, True, False]


def test_sizes_count_at_positive_cells_only():
    distances, targets = torch.zeros(1, 4, 1, 3), torch.ones(1, 4, 1, 3) * 2
    assert size_loss(distances, targets, LABELS) == 8
    assert size_loss(distances, targets, torch.zeros_like(LABELS)) == 0


def test_boxes_count_for_lesions_but_are_divided_by_all_regions():
    deltas, targets = torch.zeros(4, 4), torch.full((4, 4), 2.0)
    is_lesion = torch.tensor([True, False, False, False])
    assert box_loss(deltas, targets, is_lesion) == 4 * 1.5 / 4


def test_images_without_any_region_give_no_loss():
    assert class_loss(torch.zeros(0, 2), torch.zeros(0, dtype=torch.bool)) == 0
    assert box_loss(torch.zeros(0, 4), torch.zeros(0, 4), torch.zeros(0, dtype=torch.bool)) == 0
