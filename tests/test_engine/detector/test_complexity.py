"""Counted costs against those derived in algorithms 3.3 and 3.5, at 512 x 512."""

import pytest
import torch

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.complexity import NetworkPart, count_macs, macs_alone, macs_shared, part_costs
from lens_engine.detector.config import ProposalKind, narrow_lens, published_lens

FOUR = ("universal", "lung", "liver", "lymph node")
GIGA = 1e9


@pytest.fixture(scope="module")
def published():
    return {cost.part: cost for cost in part_costs(published_lens(FOUR), places=1000)}


@pytest.mark.parametrize(
    ("part", "giga"),
    [
        (NetworkPart.STEM, 0.62),
        (NetworkPart.BLOCK1, 5.44),
        (NetworkPart.TRANSITION1, 0.54),
        (NetworkPart.BLOCK2, 3.725),
        (NetworkPart.TRANSITION2, 0.54),
        (NetworkPart.INNER_FUSION, 0.20),
        (NetworkPart.BLOCK3, 2.87),
        (NetworkPart.LATERAL3, 0.54),
        (NetworkPart.LATERAL2, 1.07),
        (NetworkPart.LATERAL1, 2.15),
        (NetworkPart.LAST_FUSION, 12.9),
        (NetworkPart.HEAD, 16.7),
    ],
)
def test_a_part_costs_what_the_documentation_says(published, part, giga):
    assert published[part].macs / GIGA == pytest.approx(giga, abs=0.006 if giga < 10 else 0.05)


def test_backbone_and_fusions_cost_what_the_documentation_says(published):
    backbone = [cost for cost in published.values() if cost.part.is_backbone]
    assert macs_alone(backbone) / GIGA == pytest.approx(65.5, abs=0.05)
    assert macs_shared(backbone) / GIGA == pytest.approx(28.1, abs=0.05)


def test_four_proposal_networks_and_the_whole_detector_cost_what_was_measured_in_prototypes(published):
    """In 2 x MAC: 154.6 for the centre branches, 440.3 for all that is dense, 473.7 with 300 regions; shared 253.6."""
    flops = {part: 2 * cost.macs * cost.times_alone / GIGA for part, cost in published.items()}
    assert flops[NetworkPart.SCORES] == pytest.approx(154.6, rel=0.001)
    assert flops[NetworkPart.BOXES_EVERYWHERE] == pytest.approx(154.6, rel=0.001)
    assert 2 * macs_alone(published.values()) / GIGA == pytest.approx(473.7, rel=0.001)
    assert sum(flops.values()) - flops[NetworkPart.HEAD] == pytest.approx(440.3, rel=0.001)
    assert 2 * macs_shared(published.values()) / GIGA == pytest.approx(253.6, rel=0.001)


def test_an_rpn_costs_its_wide_convolution_once():
    costs = {cost.part: cost.macs / GIGA for cost in part_costs(published_lens(FOUR, ProposalKind.RPN))}
    assert costs[NetworkPart.SCORES] == pytest.approx(38.7 + 128 * 128 * 512 * 15 / GIGA, abs=0.05)
    assert costs[NetworkPart.BOXES_EVERYWHERE] == pytest.approx(128 * 128 * 512 * 60 / GIGA)


def test_one_stage_costs_everything_but_the_head():
    two = {cost.part: cost for cost in part_costs(published_lens(FOUR, ProposalKind.FCOS))}
    one = {cost.part: cost for cost in part_costs(published_lens(FOUR, ProposalKind.FCOS, two_stages=False))}
    assert two.pop(NetworkPart.HEAD).macs > 0
    assert one == two


@pytest.mark.parametrize("kind", list(ProposalKind))
def test_the_parts_sum_up_to_what_the_detector_really_does(kind):
    """Counted while a small detector runs on a real slice, all maps dense."""
    config = narrow_lens(("universal", "lung"), kind)
    model = LensDetector(config).eval()

    def compute():
        features = model.forward_features(torch.zeros(1, 9, 64, 48))
        for network in model.proposal_networks():
            network(features)
        pooled = model.roi_features(features, [torch.tensor([[4.0, 4, 20, 20]]).expand(config.proposal.post_nms, 4)])
        shared = model.head(pooled)
        model.expert_scores(shared)
        model.expert_boxes(shared, torch.ones(config.proposal.post_nms, 4))

    with torch.no_grad():
        assert count_macs(compute) == macs_alone(part_costs(config, (64, 48)))


def test_a_size_that_is_not_padded_is_refused():
    with pytest.raises(ValueError, match="100 x 96 pixels"):
        part_costs(narrow_lens(FOUR), (100, 96))
