import torch

from lens_engine.detector.config import ProposalKind
from lens_engine.detector.proposal_networks.base import PRIOR


def test_an_untrained_network_expects_few_lesions(untrained):
    centerness = untrained(ProposalKind.AFP)(torch.zeros(1, 5, 4, 4)).centerness
    torch.testing.assert_close(centerness.sigmoid(), torch.full((1, 1, 4, 4), PRIOR))
