"""Unit vectors that are near for boxes of the same lesion: the shared head's features of the box."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.proposal_networks.base import at_least_single


def embed(model: LensDetector, features: Tensor, boxes: Sequence[Tensor]) -> Tensor:
    """Return the unit vectors (sum of n_i, embedding width) of boxes (n_i, 4), network pixels, on each of the maps."""
    described = at_least_single(model.embedding_features(features, boxes))
    # A head whose units are all silent has no direction; any fixed one keeps the length of 1.
    silent = described.norm(dim=1, keepdim=True) == 0
    return functional.normalize(described + silent.to(described.dtype), dim=1)
