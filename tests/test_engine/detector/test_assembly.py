import pytest
import torch

from lens_engine.boxes import non_maximum_suppression
from lens_engine.detector.assembly import LensDetector, ProposalLimits
from lens_engine.detector.config import ProposalKind, narrow_lens, published_lens
from lens_engine.detector.network import ops
from lens_engine.detector.proposal_networks.base import boxes_around


def features_of(model, seed=0):
    return torch.randn(2, model.config.backbone.fpn_channels, 8, 10, generator=torch.Generator().manual_seed(seed))


def test_proposals_equal_those_of_the_dense_maps(tiny_detector):
    """Algorithms 4.1 and 4.2 written plainly: all cells, all sizes, one NMS over all experts."""
    features, size = features_of(tiny_detector), (30, 37)
    limits = ProposalLimits(pre_nms=25, post_nms=9)
    found = tiny_detector.proposals(features, [size, size], limits)
    for image in range(2):
        boxes, scores = [], []
        for network in tiny_detector.proposers:
            centerness, sizes = network(features)
            score = centerness[image].flatten().sigmoid()
            best = score.argsort(descending=True)[:25]
            decoded = ops.clip_boxes(boxes_around(best, sizes[image].flatten(1).T[best], 10), size)
            large = ((decoded[:, 2:] - decoded[:, :2]) >= tiny_detector.config.proposal.min_side).all(dim=1)
            boxes.append(decoded[large])
            scores.append(score[best][large])
        pooled, pooled_scores = torch.cat(boxes).detach(), torch.cat(scores).detach()
        kept = non_maximum_suppression(pooled.numpy(), pooled_scores.numpy(), 0.7)[:9]
        assert len(kept) > 3
        torch.testing.assert_close(found[image].boxes, pooled[kept])
        torch.testing.assert_close(found[image].scores, pooled_scores[kept])


def test_proposals_carry_no_gradient(tiny_detector):
    features = features_of(tiny_detector).requires_grad_()
    assert not tiny_detector.proposals(features, [(32, 40)] * 2)[0].boxes.requires_grad


def test_every_expert_scores_and_regresses_every_box(tiny_detector):
    features = features_of(tiny_detector)
    boxes = [torch.tensor([[2.0, 3, 20, 21], [4, 4, 30, 30]]), torch.tensor([[0.0, 0, 16, 16]])]
    shared = tiny_detector.head(tiny_detector.roi_features(features, boxes))
    assert tiny_detector.expert_scores(shared).shape == (3, 2)
    assert tiny_detector.expert_boxes(shared, torch.cat(boxes)).shape == (3, 2, 4)


def test_proposals_with_a_short_side_are_dropped(tiny_detector):
    with torch.no_grad():
        for network, side in zip(tiny_detector.proposers, (3.9, 4.1), strict=True):
            network.sizes[2].weight.zero_()
            network.sizes[2].bias.fill_(side / 2 / 4)
    boxes = tiny_detector.proposals(features_of(tiny_detector), [(32, 40)] * 2)[0].boxes
    assert len(boxes)
    assert (boxes[:, 2:] - boxes[:, :2] > 4.0).all()


def test_the_narrow_detector_proposes_lesions_of_eight_millimetres():
    config = narrow_lens(("universal",))
    assert config.proposal.min_side * config.pixel_mm < 8


def test_places_without_any_score_propose_nothing(loud_detector, tiny_config):
    """CenterNet gives cells that are no peaks a score of exactly 0."""
    proposal = tiny_config.proposal.model_copy(update={"kind": ProposalKind.CENTERNET, "pre_nms": 80})
    model = loud_detector(tiny_config.model_copy(update={"proposal": proposal}))
    for experts in model.expert_proposals(features_of(model), [(32, 40)] * 2, 80):
        for found in experts:
            assert 0 < len(found.scores) < 80
            assert found.scores.min() > 0


def test_one_stage_has_no_head_and_says_so(tiny_config):
    model = LensDetector(tiny_config.model_copy(update={"head": None}))
    assert not any(name.startswith(("head", "classifiers", "regressors")) for name in model.state_dict())
    with pytest.raises(ValueError, match="one stage"):
        model.head_features(features_of(model), [torch.zeros(0, 4)] * 2)


def test_one_stage_describes_a_box_by_the_mean_over_its_bins(tiny_config):
    model = LensDetector(tiny_config.model_copy(update={"head": None}))
    features, boxes = features_of(model), [torch.tensor([[4.0, 4, 25, 20]]), torch.zeros(0, 4)]
    described = model.embedding_features(features, boxes)
    assert described.shape == (1, model.embedding_width)
    torch.testing.assert_close(described, model.roi_features(features, boxes).flatten(2).mean(dim=2))


@pytest.mark.parametrize("kind", list(ProposalKind))
def test_published_and_narrow_assemblies_have_as_large_anchors_and_an_equal_share_of_hidden_channels(kind):
    published, narrow = published_lens(("universal",), kind), narrow_lens(("universal",), kind)
    share = [config.proposal.width / config.backbone.fpn_channels for config in (published, narrow)]
    assert share == [1, 1] if kind is ProposalKind.RPN else [0.5, 0.5]
    if kind is ProposalKind.RPN:
        sides_mm = [
            [size * config.pixel_mm for size in config.proposal.anchors.sizes] for config in (published, narrow)
        ]
        assert sides_mm[0] == pytest.approx(sides_mm[1])
