"""Unit vectors that are near for looks at one lesion, computed for boxes of a series."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from lens_engine.findings import Box2D
from lens_engine.lesion_embedding.network import EmbeddingNetwork
from lens_engine.lesion_embedding.patches import cut_patch
from lens_engine.volume import Volume

PATCHES_AT_ONCE = 64


@torch.inference_mode()
def embed_lesions(
    network: EmbeddingNetwork, volume: Volume, places: Sequence[tuple[float, Box2D]]
) -> NDArray[np.float32]:
    """Embed boxes of a series.

    Parameters
    ----------
    network
        In evaluation mode; the work is done on its device.
    places
        Slice of the series, perhaps a fraction between two, and voxel edges on it.

    Returns
    -------
    ndarray
        float32 (n, embedding width), each row of length 1.
    """
    device = next(network.parameters()).device
    result = np.zeros((len(places), network.config.width), dtype=np.float32)
    for start in range(0, len(places), PATCHES_AT_ONCE):
        patches = [
            cut_patch(volume, network.config, slice_index, box)
            for slice_index, box in places[start : start + PATCHES_AT_ONCE]
        ]
        pixels = torch.from_numpy(np.stack([patch.pixels for patch in patches])).to(device)
        boxes = torch.from_numpy(np.stack([patch.box for patch in patches])).to(device)
        result[start : start + len(patches)] = network(pixels, boxes).embedding.cpu().numpy()
    return result
