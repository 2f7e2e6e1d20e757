import torch

from lens_engine.detector.config import ProposalKind
from lens_engine.detector.proposal_networks.base import PRIOR


def test_distances_are_positive_and_finite_whatever_the_features(loud, features):
    distances = loud(ProposalKind.FCOS)(features * 1e4).distances
    assert bool(torch.isfinite(distances).all())
    assert distances.min() >= 0
    assert distances.max() <= 256 * (1 + 1e-9)


def test_an_untrained_network_expects_few_lesions(untrained):
    network = untrained(ProposalKind.FCOS)
    maps = network(torch.zeros(1, 5, 4, 4))
    torch.testing.assert_close(maps.classes.sigmoid(), torch.full((1, 1, 4, 4), PRIOR))
    torch.testing.assert_close(maps.centerness.sigmoid(), torch.full((1, 1, 4, 4), 0.5))
