"""Weights and card of a detector, loaded only when they fit each other and the code."""

from pathlib import Path

import torch

from lens_engine.checkpoint_card import CheckpointCard, NetworkKind
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.checkpoints.folder import config_of, fill, read_folder, write_folder
from lens_engine.detector.config import DetectorConfig
from lens_engine.errors import CheckpointError


def save_checkpoint(
    model: LensDetector, card: CheckpointCard, folder: Path, *, dtype: torch.dtype = torch.float32
) -> CheckpointCard:
    """Write weights and card to `folder` (made if absent) and return the card as written.

    Parameters
    ----------
    card
        What the model cannot know about itself; the rest is filled in here.
    dtype
        Type of the stored weights, see `write_folder`.

    Raises
    ------
    CheckpointError
        If a weight is not finite as stored.
    ExportError
        If the disk refuses.
    """
    said = {
        "network": NetworkKind.DETECTOR,
        "config": model.config.model_dump(mode="json"),
        "experts": model.config.experts,
    }
    return write_folder(model, card.model_copy(update=said), folder, dtype=dtype)


def load_checkpoint(folder: Path, device: torch.device | str = "cpu") -> tuple[LensDetector, CheckpointCard]:
    """Return the detector of `folder` in evaluation mode, as float32 on `device`, with its card.

    Raises
    ------
    CheckpointError
        If weights, card and code do not fit each other; the message says what differs.
    """
    card, tensors = read_folder(folder, NetworkKind.DETECTOR)
    config = config_of(card, DetectorConfig, folder)
    if config.experts != card.experts:
        raise CheckpointError(
            f"The card of {folder} lists the experts {card.experts}, its configuration {config.experts}",
            "Both must be the same",
            "Copy the checkpoint again",
        )
    model = LensDetector(config)
    fill(model, tensors, folder)
    return model.to(device).eval(), card
