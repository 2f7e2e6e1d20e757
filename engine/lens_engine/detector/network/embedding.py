"""Unit vectors that are near for boxes of the same lesion: the shared head's features of the box."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.preprocess import prepare
from lens_engine.detector.proposal_networks.base import at_least_single
from lens_engine.findings import Box2D
from lens_engine.volume import Volume

_SAMPLES_AT_ONCE = 4


@torch.inference_mode()
def embed_boxes(model: LensDetector, volume: Volume, boxes: Sequence[tuple[int, Box2D]]) -> NDArray[np.float32]:
    """Embed boxes of a series, each on the grid slice nearest to its own, as `detect` embeds what it finds.

    Parameters
    ----------
    boxes
        Slice of the series, and voxel edges on it.

    Returns
    -------
    ndarray
        float32 (n, embedding width), each row of length 1.
    """
    result = np.zeros((len(boxes), model.embedding_width), dtype=np.float32)
    if not boxes:
        return result
    device = next(model.parameters()).device
    prepared = prepare(volume, model.config)
    places = np.array([prepared.grid.nearest_grid_index(index) for index, _ in boxes])
    network_boxes = prepared.grid.to_network(np.asarray([box for _, box in boxes]))
    distinct = np.unique(places)
    for start in range(0, len(distinct), _SAMPLES_AT_ONCE):
        chosen = distinct[start : start + _SAMPLES_AT_ONCE]
        samples = torch.from_numpy(np.stack([prepared.sample(int(index)) for index in chosen]))
        features = model.forward_features(samples.to(device))
        rows = [np.flatnonzero(places == index) for index in chosen]
        on_slices = [torch.from_numpy(network_boxes[row]).to(features) for row in rows]
        result[np.concatenate(rows)] = embed(model, features, on_slices).cpu().numpy()
    return result


def embed(model: LensDetector, features: Tensor, boxes: Sequence[Tensor]) -> Tensor:
    """Return the unit vectors (sum of n_i, embedding width) of boxes (n_i, 4), network pixels, on each of the maps."""
    described = at_least_single(model.embedding_features(features, boxes))
    # A head whose units are all silent has no direction; any fixed one keeps the length of 1.
    silent = described.norm(dim=1, keepdim=True) == 0
    return functional.normalize(described + silent.to(described.dtype), dim=1)
