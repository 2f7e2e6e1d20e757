"""The four losses of LENS (Eq. 1-3; spec 4.1 and 4.3)."""

import torch
from torch.nn import functional

from lens_training.targets import NEGATIVE, POSITIVE


def centre_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the focal loss of the centre map, per positive cell (LENS Eq. 1; gamma 2, both classes at one half).

    Parameters
    ----------
    logits
        (b, h, w).
    labels
        int8 (b, h, w), see `CentreTargets`; ignored cells count nowhere.
    """
    positive, negative = labels == POSITIVE, labels == NEGATIVE
    probability = logits.sigmoid()
    hits = (1 - probability).square() * functional.logsigmoid(logits) * positive
    misses = probability.square() * functional.logsigmoid(-logits) * negative
    total: torch.Tensor = -0.5 * (hits.sum() + misses.sum()) / positive.sum().clamp(min=1)
    return total


def size_loss(distances: torch.Tensor, targets: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean L1 error of the four distances over positive cells, in cells (LENS Eq. 2).

    Parameters
    ----------
    distances, targets
        (b, 4, h, w).
    labels
        int8 (b, h, w).
    """
    positive = labels == POSITIVE
    error = (distances - targets).abs().sum(dim=1) * positive
    return error.sum() / positive.sum().clamp(min=1)


def class_loss(logits: torch.Tensor, is_lesion: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of the head over sampled regions; (r, 2) logits, bool (r,)."""
    if not len(logits):
        return logits.sum()
    return functional.cross_entropy(logits, is_lesion.long())


def box_loss(deltas: torch.Tensor, targets: torch.Tensor, is_lesion: torch.Tensor) -> torch.Tensor:
    """Return the smooth-L1 error of lesion regions, summed and divided by the number of ALL regions (spec 4.3).

    Parameters
    ----------
    deltas, targets
        (r, 4), as the box coder defines them.
    """
    error = functional.smooth_l1_loss(deltas, targets, reduction="none").sum(dim=1) * is_lesion
    return error.sum() / max(len(deltas), 1)
