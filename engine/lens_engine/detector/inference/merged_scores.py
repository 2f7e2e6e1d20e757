"""Scores of every place by every expert, with the experts' branches computed as one where that is faster."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lens_engine.detector.proposal_networks.base import BranchProposals, ProposalNetwork, bias_of


class ExpertScores(NamedTuple):
    """Scores of a batch.

    Attributes
    ----------
    scores
        (b, experts, places).
    contexts
        Of each expert's network, for `ProposalNetwork.boxes_at`.
    """

    scores: Tensor
    contexts: list[Tensor]


def scorer_of(networks: Sequence[ProposalNetwork]) -> Callable[[Tensor], ExpertScores]:
    """Return what scores features (b, channels, h, w) by all experts' networks, which are of one kind.

    One wide convolution is faster than one for each expert where matrix units do the work (half precision), and slower
    in single precision on a CPU.
    """
    branched = [network for network in networks if isinstance(network, BranchProposals)]
    if len(branched) == len(networks) > 1 and branched[0].scoring_branch.first.weight.dtype is torch.bfloat16:
        return _MergedScorer(branched)
    return _Scorer(networks)


class _Scorer:
    def __init__(self, networks: Sequence[ProposalNetwork]) -> None:
        self._networks = networks

    def __call__(self, features: Tensor) -> ExpertScores:
        found = [network.score(features) for network in self._networks]
        return ExpertScores(torch.stack([own.scores for own in found], dim=1), [own.context for own in found])


class _MergedScorer:
    def __init__(self, networks: Sequence[BranchProposals]) -> None:
        self._networks = networks
        branches = [network.scoring_branch for network in networks]
        first, last = [branch.first for branch in branches], [branch.last for branch in branches]
        self._first = torch.cat([layer.weight.detach() for layer in first])
        self._first = self._first.contiguous(memory_format=torch.channels_last)
        outputs, width = last[0].weight.shape[:2]
        self._last = self._first.new_zeros(len(last) * outputs, len(last) * width, 1, 1)
        for expert, layer in enumerate(last):  # reads the hidden channels of its own; the others' weigh nothing
            own = self._last[expert * outputs : (expert + 1) * outputs, expert * width : (expert + 1) * width]
            own.copy_(layer.weight.detach())
        self._biases = [torch.cat([bias_of(layer).detach() for layer in layers]) for layers in (first, last)]

    def __call__(self, features: Tensor) -> ExpertScores:
        hidden = functional.conv2d(features, self._first, self._biases[0], padding=1).relu_()
        outputs = functional.conv2d(hidden, self._last, self._biases[1]).chunk(len(self._networks), dim=1)
        scores = [network.scores_of(own) for network, own in zip(self._networks, outputs, strict=True)]
        return ExpertScores(torch.stack(scores, dim=1), [features] * len(self._networks))
