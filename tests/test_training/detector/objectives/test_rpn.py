import numpy as np
import torch
from support.training.objective_cases import SIDE, boxes, random

from lens_engine.boxes import overlaps
from lens_training.datasets.labels import SliceLabels
from lens_training.detector.objectives.base import IGNORED, NEGATIVE, POSITIVE
from lens_training.detector.objectives.rpn import (
    ANCHORS_PER_IMAGE,
    AnchorTargets,
    anchor_box_loss,
    anchor_targets,
    objectness_loss,
    sample_anchors,
)

SIZE = (SIDE, SIDE)
CORNERS = np.stack(np.meshgrid(np.arange(-8, SIDE, 4.0), np.arange(-8, SIDE, 4.0)), axis=-1).reshape(-1, 2)
ANCHORS = np.concatenate([np.concatenate([CORNERS, CORNERS + side], axis=1) for side in (12, 20)])


def targets_of(labels: SliceLabels) -> AnchorTargets:
    return anchor_targets(ANCHORS, labels, SIZE)


def at(x1: float, y1: float, side: float) -> int:
    return int(np.flatnonzero(((x1, y1, x1 + side, y1 + side) == ANCHORS).all(axis=1))[0])


def test_anchors_are_lesions_background_or_neither_by_their_overlap():
    lesion = boxes((12, 12, 32, 34))
    targets = targets_of(SliceLabels(lesions=lesion))
    overlap = overlaps(ANCHORS, lesion)[:, 0]
    assert targets.roles[at(12, 12, 20)] == POSITIVE
    assert targets.roles[at(16, 12, 20)] == IGNORED
    assert targets.roles[at(40, 40, 20)] == NEGATIVE
    visible = (ANCHORS >= 0).all(axis=1) & (ANCHORS <= SIDE).all(axis=1)
    np.testing.assert_array_equal(targets.roles[visible] == POSITIVE, overlap[visible] >= 0.7)
    np.testing.assert_array_equal(targets.roles[visible] == NEGATIVE, overlap[visible] < 0.3)


def test_the_best_anchors_of_a_lesion_are_positive_however_little_they_overlap_it_ties_included():
    lesion = boxes((21, 22, 25, 26))  # within several anchors of one size, so that they overlap it equally
    targets = targets_of(SliceLabels(lesions=lesion))
    overlap = overlaps(ANCHORS, lesion)[:, 0]
    assert overlap.max() < 0.3
    assert (targets.roles == POSITIVE).sum() > 1
    np.testing.assert_array_equal(targets.roles == POSITIVE, overlap == overlap.max())


def test_the_best_anchor_of_a_lesion_learns_it_although_another_lesion_overlaps_the_anchor_more():
    lesions = boxes((12, 12, 24, 24), (13, 11, 31, 30))
    table = overlaps(ANCHORS, lesions)
    targets = targets_of(SliceLabels(lesions=lesions))
    for number in range(2):
        assert targets.match[table[:, number].argmax()] == number


def test_anchors_across_the_border_of_the_image_are_ignored():
    targets = anchor_targets(ANCHORS, SliceLabels(lesions=boxes((0, 0, 12, 12))), (40, 48))
    outside = (ANCHORS[:, :2] < 0).any(axis=1) | (ANCHORS[:, 2] > 48) | (ANCHORS[:, 3] > 40)
    assert (targets.roles[outside] == IGNORED).all()
    assert (targets.roles[~outside] != IGNORED).any()
    assert targets.roles[at(0, 0, 12)] == POSITIVE


def test_an_image_smaller_than_every_anchor_teaches_nothing():
    sample = sample_anchors(ANCHORS, [SliceLabels(lesions=boxes((0, 0, 8, 8)))], [(8, 8)], random())
    assert len(sample.anchor) == 0
    assert objectness_loss(torch.zeros(0), torch.zeros(0, dtype=torch.bool)) == 0
    assert anchor_box_loss(torch.zeros(0, 4), torch.zeros(0, 4), torch.zeros(0, dtype=torch.bool)) == 0


def test_anchors_that_would_learn_an_uncertain_place_if_it_were_a_lesion_are_ignored_and_so_are_those_in_its_middle():
    place = boxes((12, 12, 32, 32))
    as_lesion, targets = targets_of(SliceLabels(lesions=place)), targets_of(SliceLabels(uncertain=place))
    assert (targets.roles[as_lesion.roles != NEGATIVE] == IGNORED).all()
    assert targets.roles[at(16, 16, 12)] == IGNORED
    assert targets.roles[at(32, 32, 12)] == NEGATIVE


def test_every_anchor_centred_in_an_unsure_place_is_ignored_even_if_a_rejected_one_is_there():
    place = boxes((4, 4, 56, 56))
    targets = targets_of(SliceLabels(unsure=place, rejected=boxes((16, 16, 28, 28))))
    assert targets.roles[at(4, 4, 12)] == IGNORED
    assert targets.roles[at(16, 16, 12)] == IGNORED
    assert not targets.is_rejected.any()


def test_the_best_anchors_of_a_rejected_place_are_sampled_but_not_they_alone():
    labels = SliceLabels(rejected=boxes((20, 20, 32, 32)), uncertain=boxes((20, 20, 32, 32)))
    sample = sample_anchors(ANCHORS, [labels], [SIZE], random())
    assert at(20, 20, 12) in sample.anchor
    assert not sample.is_lesion.any()
    assert len(sample.anchor) == ANCHORS_PER_IMAGE


def test_a_lesion_stays_one_although_a_rejected_place_overlaps_it():
    place = boxes((20, 20, 32, 32))
    targets = targets_of(SliceLabels(lesions=place, rejected=place))
    assert targets.roles[at(20, 20, 12)] == POSITIVE
    assert not targets.is_rejected.any()


def test_at_most_half_of_the_sampled_anchors_of_each_image_are_lesions():
    rows = [(x, y, x + 12, y + 12) for x in range(0, 52, 4) for y in range(0, 52, 4)]
    labels = [SliceLabels(lesions=boxes(*rows)), SliceLabels()]
    sample = sample_anchors(ANCHORS, labels, [SIZE, SIZE], random())
    assert sample.is_lesion[sample.image == 0].sum() == ANCHORS_PER_IMAGE / 2
    assert not sample.is_lesion[sample.image == 1].any()
    assert (sample.image == 1).sum() == ANCHORS_PER_IMAGE


def test_anchor_boxes_count_for_lesions_but_are_divided_by_all_sampled_anchors():
    deltas, targets = torch.zeros(4, 4), torch.full((4, 4), 2.0)
    is_lesion = torch.tensor([True, False, False, False])
    assert torch.isclose(anchor_box_loss(deltas, targets, is_lesion), torch.tensor(4 * (2 - 1 / 18) / 4))
