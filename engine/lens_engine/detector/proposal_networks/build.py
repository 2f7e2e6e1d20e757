"""The one place where the kind of a proposal network becomes a network."""

from collections.abc import Callable, Mapping

from lens_engine.detector.config import ProposalConfig, ProposalKind
from lens_engine.detector.proposal_networks.afp import AnchorFreeProposals
from lens_engine.detector.proposal_networks.base import ProposalNetwork
from lens_engine.detector.proposal_networks.centernet import CenterNetProposals
from lens_engine.detector.proposal_networks.fcos import FcosProposals
from lens_engine.detector.proposal_networks.rpn import RegionProposals

_MAKERS: Mapping[ProposalKind, Callable[[int, ProposalConfig], ProposalNetwork]] = {
    ProposalKind.AFP: lambda channels, config: AnchorFreeProposals(channels, config.width),
    ProposalKind.RPN: lambda channels, config: RegionProposals(channels, config.width, config.anchors),
    ProposalKind.FCOS: lambda channels, config: FcosProposals(channels, config.width),
    ProposalKind.CENTERNET: lambda channels, config: CenterNetProposals(channels, config.width),
}


def build_proposal_network(channels: int, config: ProposalConfig) -> ProposalNetwork:
    """Return a new proposal network for feature maps with so many channels."""
    return _MAKERS[config.kind](channels, config)
