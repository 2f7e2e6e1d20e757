"""Weights and card of a false-positive reduction network, in a folder of its own."""

from pathlib import Path

import torch

from lens_engine.checkpoint_card import CheckpointCard, NetworkKind
from lens_engine.detector.checkpoints.folder import config_of, fill, read_folder, write_folder
from lens_engine.detector.false_positive_reduction.config import FprConfig
from lens_engine.detector.false_positive_reduction.network import FprNetwork


def save_network(
    network: FprNetwork, card: CheckpointCard, folder: Path, *, dtype: torch.dtype = torch.float32
) -> CheckpointCard:
    """Write weights and card to `folder` (made if absent) and return the card as written.

    Parameters
    ----------
    card
        What the network cannot know about itself; `parent` is the detector whose findings it learned from.
    dtype
        Type of the stored weights, see `write_folder`.

    Raises
    ------
    CheckpointError
        If a weight is not finite as stored.
    ExportError
        If the disk refuses.
    """
    said = {"network": NetworkKind.FALSE_POSITIVE_REDUCTION, "config": network.config.model_dump(mode="json")}
    return write_folder(network, card.model_copy(update=said), folder, dtype=dtype)


def load_network(folder: Path, device: torch.device | str = "cpu") -> tuple[FprNetwork, CheckpointCard]:
    """Return the network of `folder` in evaluation mode, as float32 on `device`, with its card.

    Raises
    ------
    CheckpointError
        If the folder holds a detector, or weights, card and code do not fit each other.
    """
    card, tensors = read_folder(folder, NetworkKind.FALSE_POSITIVE_REDUCTION)
    network = FprNetwork(config_of(card, FprConfig, folder))
    fill(network, tensors, folder)
    return network.to(device).eval(), card
