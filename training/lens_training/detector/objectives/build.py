"""The one place where a proposal network gets its objective."""

from lens_engine.detector.proposal_networks.afp import AnchorFreeProposals
from lens_engine.detector.proposal_networks.base import ProposalNetwork
from lens_engine.detector.proposal_networks.centernet import CenterNetProposals
from lens_engine.detector.proposal_networks.fcos import FcosProposals
from lens_engine.detector.proposal_networks.rpn import RegionProposals
from lens_training.detector.objectives.afp import AfpObjective
from lens_training.detector.objectives.base import ProposalObjective
from lens_training.detector.objectives.centernet import CenterNetObjective
from lens_training.detector.objectives.fcos import FcosObjective
from lens_training.detector.objectives.rpn import RpnObjective


def proposal_objective(network: ProposalNetwork) -> ProposalObjective:
    """Return what a proposal network of this kind learns; one serves all experts of a detector."""
    match network:
        case AnchorFreeProposals():
            return AfpObjective()
        case RegionProposals():
            return RpnObjective(network.anchors)
        case FcosProposals():
            return FcosObjective()
        case CenterNetProposals():
            return CenterNetObjective()
    raise TypeError(f"{type(network).__name__} has no objective; add one beside this module.")
