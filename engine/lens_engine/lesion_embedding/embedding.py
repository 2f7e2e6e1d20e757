"""Unit vectors that are near for looks at one lesion, computed for boxes of a series."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lens_engine.checkpoint_card import CheckpointCard, read_embedding_card
from lens_engine.findings import Box2D
from lens_engine.lesion_embedding.checkpoint import load_embedding
from lens_engine.lesion_embedding.network import EmbeddingNetwork
from lens_engine.lesion_embedding.patches import cut_patch
from lens_engine.volume import Volume

PATCHES_AT_ONCE = 64


class LesionEmbedder:
    """The network of a folder, loaded when it is first needed."""

    def __init__(self, folder: Path, device: torch.device | str) -> None:
        self._folder = folder
        self._device = device
        self._network: EmbeddingNetwork | None = None

    @property
    def card(self) -> CheckpointCard:
        """What the network says about itself; its weights' digest tells it from others."""
        return read_embedding_card(self._folder)

    def embed(self, volume: Volume, places: Sequence[tuple[float, Box2D]]) -> NDArray[np.float32]:
        """Return unit vectors of boxes on slices of a series, (n, width); see `embed_lesions`."""
        if self._network is None:
            self._network = load_embedding(self._folder, self._device)[0]
        return embed_lesions(self._network, volume, places)


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
