"""Regressing until enough boxes survive, against regressing everywhere."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lens_engine.detector.inference.lazy_proposals import ScoredPlaces, SelectionRule
from lens_engine.detector.network import ops
from lens_engine.detector.proposal_networks.base import ProposalNetwork, Scored

SIZE = (90, 100)


class Written(ProposalNetwork):
    """A network whose boxes are written down, and which counts how many were asked for."""

    def __init__(self, boxes):
        super().__init__()
        self.boxes, self.asked = boxes, 0

    def forward(self, features):
        return (features,)

    def score(self, features):
        return Scored(features, features)

    def boxes_at(self, context, places):
        self.asked += len(places)
        return self.boxes[places]

    def start_with_sides(self, cells):
        pass


def random_candidates(images, experts, places, seed, *, levels):
    """Scores take few values, so that many are equal; boxes crowd, so that many are suppressed."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, levels, (images, experts, places), generator=generator) / levels
    low = torch.rand(experts, images * places, 2, generator=generator) * 90 - 5
    boxes = torch.cat([low, low + torch.rand(experts, images * places, 2, generator=generator) * 25], dim=-1)
    networks = [Written(own) for own in boxes]
    return networks, scores


def everywhere(networks, scores, rule, per_expert, image, expert):
    """Return boxes and scores of the best places of one expert, all regressed."""
    own = scores[image, expert]
    best = own.argsort(descending=True, stable=True)[:per_expert]
    boxes = ops.clip_boxes(networks[expert].boxes[image * scores.shape[2] + best], SIZE)
    large = ((boxes[:, 2:] - boxes[:, :2]) >= rule.min_side).all(dim=1)
    kept = large & (own[best] > 0) & (own[best] >= rule.min_score)
    return boxes[kept], own[best][kept]


def assert_same(found, row, sets, rule):
    boxes, scores = (torch.cat(column) for column in zip(*sets, strict=True))
    kept = ops.non_maximum_suppression(boxes, scores, rule.nms, rule.limit)
    assert int(found.counts[row]) == len(kept)
    torch.testing.assert_close(found.boxes[row, : len(kept)], boxes[kept], rtol=0, atol=0)
    torch.testing.assert_close(found.scores[row, : len(kept)], scores[kept], rtol=0, atol=0)


rules = st.builds(
    SelectionRule,
    nms=st.sampled_from([0.1, 0.5, 0.7]),
    limit=st.integers(1, 60),
    min_side=st.sampled_from([0.0, 6.0]),
    min_score=st.sampled_from([0.0, 0.3]),
)


@settings(deadline=None, max_examples=60)
@given(
    rules, st.integers(1, 3), st.integers(1, 3), st.integers(1, 700), st.integers(1, 800), st.sampled_from([4, 10**6]),
    st.integers(0, 10**6),
)  # fmt: skip
def test_boxes_are_those_of_regressing_everywhere(rule, images, experts, places, per_expert, levels, seed):
    networks, scores = random_candidates(images, experts, places, seed, levels=levels)
    candidates = ScoredPlaces(networks, [scores] * experts, scores, SIZE)
    pooled = candidates.pooled(rule, per_expert)
    separate = candidates.by_expert(rule, per_expert)
    assert pooled.is_finite.all()
    for image in range(images):
        own = [everywhere(networks, scores, rule, per_expert, image, expert) for expert in range(experts)]
        assert_same(pooled.found, image, own, rule)
        for expert in range(experts):
            assert_same(separate.found, image * experts + expert, own[expert : expert + 1], rule)


def test_few_places_are_asked_for_where_few_boxes_are_wanted():
    networks, scores = random_candidates(1, 2, 50_000, seed=0, levels=10**6)
    candidates = ScoredPlaces(networks, [scores] * 2, scores, SIZE)
    candidates.pooled(SelectionRule(nms=0.7, limit=20, min_side=1.0), 6000)
    assert sum(network.asked for network in networks) <= 512


def test_more_places_than_are_ranked_at_first_are_searched_where_nothing_survives():
    networks, scores = random_candidates(1, 1, 9000, seed=0, levels=10**6)
    networks[0].boxes[scores[0, 0] > 0.01] = torch.tensor([5.0, 5, 30, 30])
    found = ScoredPlaces(networks, [scores], scores, SIZE).pooled(SelectionRule(0.5, 6, 1.0), 9000).found
    assert found.counts.tolist() == [6]
    assert float(found.scores[0, 1]) <= 0.01


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_box_that_is_no_box_is_reported_for_its_image(value):
    networks, scores = random_candidates(3, 1, 50, seed=0, levels=10**6)
    networks[0].boxes[50 + 7, 2] = value
    selected = ScoredPlaces(networks, [scores], scores, SIZE).pooled(SelectionRule(0.5, 50, 0.0), 50)
    assert selected.is_finite.tolist() == [True, False, True]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_reported_for_its_image(value):
    networks, scores = random_candidates(3, 2, 50, seed=0, levels=10**6)
    scores[2, 1, 20] = value
    candidates = ScoredPlaces(networks, [scores] * 2, scores, SIZE)
    assert candidates.pooled(SelectionRule(0.5, 50, 0.0), 50).is_finite.tolist() == [True, True, False]
    assert candidates.by_expert(SelectionRule(0.5, 50, 0.0), 50).is_finite.tolist() == [True] * 5 + [False]
