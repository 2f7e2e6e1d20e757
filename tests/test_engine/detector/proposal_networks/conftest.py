"""Small proposal networks of every kind with weights of useful size."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from lens_engine.detector.config import AnchorConfig, ProposalConfig, ProposalKind
from lens_engine.detector.proposal_networks.base import ProposalNetwork
from lens_engine.detector.proposal_networks.build import build_proposal_network

CHANNELS = 5


@pytest.fixture
def untrained() -> Callable[[ProposalKind], ProposalNetwork]:
    """Makes a new network for five channels."""
    return _untrained


@pytest.fixture
def loud() -> Callable[[ProposalKind], ProposalNetwork]:
    """Makes a network in double precision whose outputs are far from constant."""

    def make(kind: ProposalKind) -> ProposalNetwork:
        network = _untrained(kind).double()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for module in network.modules():
                if isinstance(module, nn.Conv2d):
                    module.weight.normal_(0, 2 * module.weight[0].numel() ** -0.5, generator=generator)
        return network

    return make


@pytest.fixture
def features() -> torch.Tensor:
    """Features (2, 5, 6, 9)."""
    return torch.randn(2, CHANNELS, 6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def _untrained(kind: ProposalKind) -> ProposalNetwork:
    anchors = AnchorConfig(sizes=(8, 20), ratios=(0.5, 1, 2))
    return build_proposal_network(CHANNELS, ProposalConfig(kind=kind, width=7, anchors=anchors))
