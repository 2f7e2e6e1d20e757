import torch

from lens_engine.detector.proposal_networks.afp import AnchorFreeProposals
from lens_engine.detector.proposal_networks.base import PRIOR, boxes_around


def test_an_untrained_network_expects_few_lesions():
    scored = AnchorFreeProposals(8, 4).score(torch.zeros(1, 8, 4, 4))
    torch.testing.assert_close(scored.scores, torch.full((1, 16), PRIOR))


def test_a_cell_stands_for_the_middle_of_its_four_pixels():
    sides = torch.tensor([[1.0, 2, 3, 4], [-1, 0, 0.5, 0]])  # top, bottom, left, right in cells
    boxes = boxes_around(torch.tensor([0, 11]), sides, map_width=10)
    assert boxes.tolist() == [[-10, -2, 18, 10], [4, 6, 6, 6]]
