import numpy as np
import pytest
import torch
from support.training.objective_cases import Row, boxes, random

from lens_training.datasets.labels import SliceLabels
from lens_training.detector.objectives.head import (
    RegionSampling,
    box_loss,
    certain_regions,
    class_loss,
    region_box_loss,
    rejected_regions,
    sample_regions,
)

SAMPLING = RegionSampling(count=16, lesion_share=0.25)
PLACE = boxes((10, 10, 30, 30))


def test_proposals_on_a_lesion_are_positive_and_the_lesion_itself_joins_them():
    proposals = boxes((11, 11, 31, 31), (40, 40, 60, 60))
    regions = sample_regions(proposals, SliceLabels(lesions=PLACE), SAMPLING, random())
    assert regions.is_lesion.sum() == 2
    np.testing.assert_array_equal(regions.lesions[regions.is_lesion], np.repeat(PLACE, 2, axis=0))
    np.testing.assert_array_equal(regions.boxes[~regions.is_lesion], boxes((40, 40, 60, 60)))


@pytest.mark.parametrize("proposal", [(10, 10, 30, 30), (16, 16, 22, 22)], ids=["same place", "inside"])
def test_proposals_on_an_uncertain_place_are_never_sampled(proposal: Row):
    assert len(sample_regions(boxes(proposal), SliceLabels(uncertain=PLACE), SAMPLING, random()).boxes) == 0


def test_a_proposal_at_the_edge_of_an_unsure_place_is_not_sampled_but_at_that_of_an_uncertain_one_it_is():
    proposal = boxes((26, 26, 32, 32))
    assert len(sample_regions(proposal, SliceLabels(unsure=PLACE), SAMPLING, random()).boxes) == 0
    assert len(sample_regions(proposal, SliceLabels(uncertain=PLACE), SAMPLING, random()).boxes) == 1


def test_a_rejected_place_is_always_sampled_as_background_even_in_an_uncertain_one():
    proposals = np.repeat(boxes((40, 40, 60, 60)), 50, axis=0)
    regions = sample_regions(proposals, SliceLabels(rejected=PLACE, uncertain=PLACE), SAMPLING, random())
    row = np.flatnonzero((regions.boxes == PLACE[0]).all(axis=1))
    assert len(row) == 1
    assert not regions.is_lesion[row[0]]


@pytest.mark.parametrize("role", ["lesions", "foreign", "unsure"])
def test_a_rejected_place_is_not_sampled_where_a_lesion_or_an_unsure_place_is(role: str):
    labels = SliceLabels(rejected=boxes((11, 11, 30, 30)), **{role: PLACE})
    assert not (sample_regions(boxes(), labels, SAMPLING, random()).boxes == labels.rejected[0]).all(axis=1).any()


def test_the_regions_of_a_rejected_place_are_itself_and_the_proposals_on_it():
    on_it, beside = (12, 12, 32, 30), (25, 25, 45, 45)
    found = rejected_regions(boxes(on_it, beside), SliceLabels(rejected=PLACE, uncertain=PLACE))
    np.testing.assert_array_equal(found, boxes(on_it, tuple(PLACE[0])))
    assert rejected_regions(boxes(on_it, beside), SliceLabels(lesions=PLACE)).shape == (0, 4)


@pytest.mark.parametrize("role", ["lesions", "foreign", "unsure"])
def test_no_region_of_a_rejected_place_is_certain_where_a_lesion_or_an_unsure_place_is(role: str):
    labels = SliceLabels(rejected=boxes((11, 11, 30, 30)), **{role: PLACE})
    assert rejected_regions(boxes((10, 10, 30, 30)), labels).shape == (0, 4)


def test_the_certain_regions_are_lesions_with_their_proposals_and_rejected_places_with_theirs():
    lesion, rejected, foreign = PLACE, boxes((40, 40, 60, 60)), boxes((70, 10, 90, 30))
    proposals = boxes((11, 11, 31, 31), (41, 40, 61, 60), (71, 10, 91, 30), (70, 70, 80, 80))
    labels = SliceLabels(lesion, foreign=foreign, rejected=rejected)
    regions = certain_regions(proposals, labels, SAMPLING, random())
    assert {tuple(box) for box in regions.boxes[regions.is_lesion]} == {tuple(lesion[0]), tuple(proposals[0])}
    np.testing.assert_array_equal(regions.lesions[regions.is_lesion], np.repeat(lesion, 2, axis=0))
    np.testing.assert_array_equal(regions.boxes[~regions.is_lesion], [proposals[1], rejected[0]])


def test_of_certain_regions_no_more_are_lesions_than_of_sampled_ones():
    proposals = np.repeat(boxes((10, 10, 30, 30), (40, 40, 60, 60)), 40, axis=0)
    regions = certain_regions(proposals, SliceLabels(lesions=PLACE), SAMPLING, random())
    assert regions.is_lesion.tolist() == [True] * 4


def test_at_most_the_stated_share_of_regions_are_lesions():
    proposals = np.repeat(boxes((10, 10, 30, 30), (40, 40, 60, 60)), 40, axis=0)
    regions = sample_regions(proposals, SliceLabels(lesions=PLACE), SAMPLING, random())
    assert len(regions.boxes) == 16
    assert regions.is_lesion.sum() == 4


def test_sampling_is_repeatable():
    proposals = random().uniform(0, 30, (60, 2))
    proposals = np.concatenate([proposals, proposals + 12], axis=1)
    labels = SliceLabels(lesions=boxes((10, 10, 22, 22)))
    first, second = (sample_regions(proposals, labels, SAMPLING, random()) for _ in range(2))
    np.testing.assert_array_equal(first.boxes, second.boxes)


def test_boxes_count_for_lesions_but_are_divided_by_all_regions():
    deltas, targets = torch.zeros(4, 4), torch.full((4, 4), 2.0)
    is_lesion = torch.tensor([True, False, False, False])
    assert box_loss(deltas, targets, is_lesion) == 4 * 1.5 / 4


def test_images_without_any_region_give_no_loss():
    assert class_loss(torch.zeros(0, 2), torch.zeros(0, dtype=torch.bool)) == 0
    assert box_loss(torch.zeros(0, 4), torch.zeros(0, 4), torch.zeros(0, dtype=torch.bool)) == 0


def test_the_losses_of_the_head_have_the_right_gradient():
    generator = torch.Generator().manual_seed(0)
    logits, deltas = (
        torch.randn(6, width, generator=generator, dtype=torch.float64).requires_grad_() for width in (2, 4)
    )
    is_lesion = torch.arange(6) < 2
    assert torch.autograd.gradcheck(lambda values: class_loss(values, is_lesion), logits)
    assert torch.autograd.gradcheck(lambda values: box_loss(values, torch.zeros_like(values), is_lesion), deltas)


def test_a_lesion_without_trusted_edges_is_positive_and_teaches_no_box():
    proposals = boxes((11, 11, 31, 31), (51, 51, 71, 71))
    labels = SliceLabels(lesions=boxes((50, 50, 70, 70)), class_only=PLACE)
    regions = sample_regions(proposals, labels, RegionSampling(count=16, lesion_share=1.0), random())
    assert regions.is_lesion.sum() == 4
    on_place = regions.boxes[:, 0] < 40
    np.testing.assert_array_equal(regions.teaches_box, regions.is_lesion & ~on_place)
    deltas = torch.ones(len(regions.boxes), 4, requires_grad=True)
    region_box_loss(deltas, regions).backward()
    assert deltas.grad is not None
    assert (deltas.grad[torch.from_numpy(on_place)] == 0).all()
    assert (deltas.grad[torch.from_numpy(regions.teaches_box)] != 0).any(dim=1).all()


def test_a_rejected_place_is_not_sampled_on_a_lesion_without_trusted_edges():
    labels = SliceLabels(rejected=boxes((11, 11, 30, 30)), class_only=PLACE)
    assert len(rejected_regions(boxes(), labels)) == 0
