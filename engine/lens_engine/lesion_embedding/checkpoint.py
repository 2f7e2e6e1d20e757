"""Weights and card of a lesion embedding network, in a folder of their own."""

from pathlib import Path

import torch

from lens_engine.checkpoint_card import CheckpointCard, NetworkKind
from lens_engine.detector.checkpoints.folder import config_of, fill, read_folder, write_folder
from lens_engine.lesion_embedding.config import EmbeddingConfig
from lens_engine.lesion_embedding.network import EmbeddingNetwork


def save_embedding(
    network: EmbeddingNetwork, card: CheckpointCard, folder: Path, *, dtype: torch.dtype = torch.float32
) -> CheckpointCard:
    """Write weights and card to `folder` (made if absent) and return the card as written.

    Parameters
    ----------
    card
        What the network cannot know about itself.
    dtype
        Type of the stored weights, see `write_folder`.

    Raises
    ------
    CheckpointError
        If a weight is not finite as stored.
    ExportError
        If the disk refuses.
    """
    said = {"network": NetworkKind.LESION_EMBEDDING, "config": network.config.model_dump(mode="json")}
    return write_folder(network, card.model_copy(update=said), folder, dtype=dtype)


def load_embedding(folder: Path, device: torch.device | str = "cpu") -> tuple[EmbeddingNetwork, CheckpointCard]:
    """Return the network of `folder` in evaluation mode, as float32 on `device`, with its card.

    Raises
    ------
    CheckpointError
        If the folder holds another kind of network, or weights, card and code do not fit each other.
    """
    card, tensors = read_folder(folder, NetworkKind.LESION_EMBEDDING)
    network = EmbeddingNetwork(config_of(card, EmbeddingConfig, folder))
    fill(network, tensors, folder)
    return network.to(device).eval(), card
