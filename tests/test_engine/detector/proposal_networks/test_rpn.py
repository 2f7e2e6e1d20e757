import torch

from lens_engine.detector.config import AnchorConfig
from lens_engine.detector.proposal_networks.rpn import RegionProposals


def test_published_anchors_are_fifteen_of_five_areas_and_three_shapes_around_every_cell():
    network = RegionProposals(4, 3, AnchorConfig())
    anchors = network.anchors(2, 3)
    assert anchors.shape == (2 * 3 * 15, 4)
    of_last_cell = anchors[5 * 15 :]
    sides = of_last_cell[:, 2:] - of_last_cell[:, :2]
    torch.testing.assert_close((of_last_cell[:, :2] + sides / 2), torch.tensor([10.0, 6.0]).expand(15, 2))
    torch.testing.assert_close(sides.prod(dim=1).sqrt().view(5, 3)[:, 0], torch.tensor([16.0, 24, 32, 48, 96]))
    torch.testing.assert_close((sides[:, 1] / sides[:, 0])[:3], torch.tensor([0.5, 1, 2]))


def test_anchors_follow_from_the_configuration_and_are_no_weights():
    network = RegionProposals(4, 3, AnchorConfig())
    assert sorted({name.split(".")[0] for name in network.state_dict()}) == ["deltas", "hidden", "objectness"]


def test_an_untrained_network_leaves_every_anchor_undecided():
    torch.manual_seed(0)
    objectness, deltas = RegionProposals(4, 3, AnchorConfig())(torch.zeros(1, 4, 2, 3))
    assert objectness.shape == (1, 15, 2, 3)
    assert deltas.shape == (1, 15, 4, 2, 3)
    assert not objectness.any()
    assert not deltas.any()
