import numpy as np
import pytest
import torch

from lens_engine.boxes import non_maximum_suppression
from lens_engine.detector.config import AnchorConfig, PostConfig, ProposalKind
from lens_engine.detector.inference.reference import dense_proposals, detect_on_features

KINDS = pytest.mark.parametrize("kind", list(ProposalKind))


@pytest.fixture
def features():
    return torch.randn(1, 8, 8, 10, generator=torch.Generator().manual_seed(0))


def of_kind(loud_detector, config, kind, *, stages):
    proposal = config.proposal.model_copy(update={"kind": kind, "anchors": AnchorConfig(sizes=(12.0, 30.0))})
    head = config.head if stages == 2 else None
    return loud_detector(config.model_copy(update={"proposal": proposal, "head": head}))


@KINDS
@torch.inference_mode()
def test_dense_maps_hold_what_is_computed_where_it_is_needed(loud_detector, tiny_config, features, kind):
    for network in of_kind(loud_detector, tiny_config, kind, stages=2).proposal_networks():
        dense, scored = dense_proposals(network, features), network.score(features)
        torch.testing.assert_close(dense.scores, scored.scores[0])
        boxes = network.boxes_at(scored.context, torch.arange(len(dense.scores)))
        torch.testing.assert_close(dense.boxes, boxes, rtol=1e-4, atol=1e-4)


@KINDS
def test_one_stage_keeps_the_best_proposals_of_every_expert(loud_detector, tiny_config, features, kind):
    """Algorithms 4.3b written plainly: all proposals of an expert, threshold, NMS 0.5, the best few; then fused."""
    model = of_kind(loud_detector, tiny_config, kind, stages=1)
    post = PostConfig(score_threshold=0.02, per_slice=4)
    found = detect_on_features(model, features, (30, 37), post)
    assert not len(found.proposals.scores)
    kept = []
    for own, candidates in zip(found.experts, found.candidates, strict=True):
        sure = candidates.scores >= 0.02
        boxes, scores = candidates.boxes[sure].numpy(), candidates.scores[sure].numpy()
        best = non_maximum_suppression(boxes, scores, 0.5)[:4]
        assert len(best)
        np.testing.assert_array_equal(own.boxes.numpy(), boxes[best])
        kept.append((boxes[best], scores[best]))
    boxes, scores = (np.concatenate(columns) for columns in zip(*kept, strict=True))
    np.testing.assert_array_equal(found.fused.boxes.numpy(), boxes[non_maximum_suppression(boxes, scores, 0.5)])


@KINDS
def test_two_stages_judge_the_pooled_proposals_of_all_experts(loud_detector, tiny_config, features, kind):
    """Algorithms 4.2 and 4.4 written plainly."""
    model = of_kind(loud_detector, tiny_config, kind, stages=2)
    found = detect_on_features(model, features, (30, 37), tiny_config.post)
    boxes = torch.cat([own.boxes for own in found.candidates]).numpy()
    scores = torch.cat([own.scores for own in found.candidates]).numpy()
    kept = non_maximum_suppression(boxes, scores, tiny_config.proposal.nms)[: tiny_config.proposal.post_nms]
    assert 3 < len(kept) < len(boxes)
    np.testing.assert_array_equal(found.proposals.boxes.numpy(), boxes[kept])
    for expert, own in enumerate(found.experts):
        sure = (found.expert_scores[:, expert] >= tiny_config.post.score_threshold).numpy()
        boxes, scores = found.expert_boxes[sure, expert].numpy(), found.expert_scores[sure, expert].numpy()
        best = non_maximum_suppression(boxes, scores, tiny_config.post.nms)[: tiny_config.post.per_slice]
        np.testing.assert_array_equal(own.boxes.numpy(), boxes[best])
        np.testing.assert_array_equal(own.scores.numpy(), scores[best])
