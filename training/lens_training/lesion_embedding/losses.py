"""The parts of LesaNet's loss (algorithms 5.8)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lens_training.lesion_embedding.looks import Look


class TermWeights(NamedTuple):
    """What an entry of the cross-entropy counts, for each term: (terms,) where it is said and where it is not."""

    said: Tensor
    unsaid: Tensor


def term_weights(looks: Sequence[Look], terms: int, largest: float) -> TermWeights:
    """Return weights that give every term half of its loss for lesions it is said of, and half for the others.

    Parameters
    ----------
    largest
        Limit of the weight where a rare term is said; one that nobody says has it as well.
    """
    counts = torch.zeros(terms)
    for look in looks:
        counts[list(look.terms)] += 1
    said = (len(looks) / (2 * counts)).clamp(max=largest)
    unsaid = len(looks) / (2 * (len(looks) - counts).clamp(min=1))
    return TermWeights(said, unsaid)


def weighted_cross_entropy(logits: Tensor, targets: Tensor, is_certain: Tensor, weights: TermWeights) -> Tensor:
    """Return the mean over all entries (n, terms); uncertain ones count as 0."""
    balance = torch.where(targets > 0, weights.said.to(logits), weights.unsaid.to(logits))
    return functional.binary_cross_entropy_with_logits(logits, targets, weight=balance * is_certain)


def hard_example_loss(
    logits: Tensor, targets: Tensor, is_reliable: Tensor, count: int, generator: torch.Generator
) -> Tensor:
    """Return the cross-entropy of entries drawn with replacement, the more wrong the more often.

    An entry is drawn with a probability that grows with the square of its error. Only reliable entries are: terms that
    are said, and terms that cannot hold beside them.

    Parameters
    ----------
    logits, targets, is_reliable
        (n, terms).
    generator
        Of the CPU.
    """
    errors = ((logits.detach().sigmoid() - targets) ** 2 * is_reliable).flatten().float().cpu()
    if not bool((errors > 0).any()):
        return logits.sum() * 0.0
    drawn = torch.multinomial(errors, count, replacement=True, generator=generator).to(logits.device)
    return functional.binary_cross_entropy_with_logits(logits.flatten()[drawn], targets.flatten()[drawn])


def triplet_loss(embedding: Tensor, triplets: Tensor, margin: float) -> Tensor:
    """Return how much nearer than the margin allows the unlike looks lie, on average.

    Parameters
    ----------
    embedding
        (n, width) of length 1.
    triplets
        int64 (m, 3), as `draw_triplets` draws them.
    """
    anchor, like, unlike = (embedding[triplets[:, column]] for column in range(3))
    return functional.triplet_margin_loss(anchor, like, unlike, margin=margin)
