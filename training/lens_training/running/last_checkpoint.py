"""`last.ckpt`, from which a run goes on that was stopped or killed."""

from contextlib import nullcontext
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch import Trainer

from lens_engine.errors import CheckpointError
from lens_engine.io.atomic_files import replacement_of
from lens_training.errors import TrainingInterruptedError

_FINGERPRINT = "lens_fingerprint"


def mark(checkpoint: dict[str, Any], fingerprint: str) -> None:
    """Note in a checkpoint that is about to be written which run it belongs to."""
    checkpoint[_FINGERPRINT] = fingerprint


def save_state(trainer: Trainer, path: Path) -> None:
    """Write the state so that the file is always a complete one; all processes come here, the first one writes.

    Raises
    ------
    TrainingInterruptedError
        If the disk refuses.
    """
    try:
        with replacement_of(path) if trainer.is_global_zero else nullcontext(path) as temporary:
            trainer.save_checkpoint(temporary)
    except OSError as error:
        raise TrainingInterruptedError(
            f"{path} cannot be written: {error.strerror or error}",
            "A folder with write permission and enough free space is needed",
            "Free space: the last checkpoint that was written is whole",
        ) from error


def steps_done(path: Path, fingerprint: str) -> int:
    """Return how many steps of this run a checkpoint has behind it; 0 where there is no file.

    Raises
    ------
    CheckpointError
        If it cannot be read, or belongs to another run.
    """
    if not path.exists():
        return 0
    try:
        state = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
    except (RuntimeError, UnpicklingError, EOFError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({str(error).splitlines()[0]})",
            "The file of an earlier run, whole",
            "Begin the run anew instead of resuming it",
        ) from error
    if state.get(_FINGERPRINT) != fingerprint:
        raise CheckpointError(
            f"{path} belongs to another run",
            "The labels, recipe, steps, seed, initial weights and number of devices must be those it was started with",
            "Begin the run anew instead of resuming it, or use another folder",
        )
    return int(state["global_step"])


def weights_of(path: Path, part: str) -> dict[str, torch.Tensor]:
    """Return the parameters of one attribute of the training module, by their own names."""
    state = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    return {name.removeprefix(f"{part}."): value for name, value in state.items()}
