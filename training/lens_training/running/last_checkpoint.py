"""`last.ckpt`, from which a run goes on that was stopped or killed, and the weights that are kept of some steps.

A checkpoint of a published detector is 0.9 GB, and a run has tens of thousands of steps: how often it is written
follows from how much a run may write.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import nn

from lens_engine.errors import CheckpointError
from lens_engine.io.atomic_files import replace_bytes, replacement_of
from lens_training.errors import TrainingInterruptedError

_FINGERPRINT = "lens_fingerprint"
_MOMENTS = 2
"""Numbers that RAdam keeps of every weight."""


def state_bytes(module: nn.Module) -> int:
    """Return how large a checkpoint of a module is, but for some kilobytes: weights, and the optimiser's moments."""
    learning = sum(weight.nbytes for weight in module.parameters() if weight.requires_grad)
    tensors: dict[str, torch.Tensor] = module.state_dict()
    return sum(values.nbytes for values in tensors.values()) + _MOMENTS * learning


def checkpoint_spacing(wanted: int, steps: int, file_bytes: int, budget_bytes: int) -> int:
    """Return after how many steps a run writes its last checkpoint again.

    Parameters
    ----------
    wanted
        As often as this where the budget allows it.
    steps
        Of the whole run; its end writes one, too.
    budget_bytes
        How much all of them may take together; two are written in any case.
    """
    others = max(budget_bytes // file_bytes - 1, 1)
    return max(wanted, -(-steps // others))


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
    with _refusals_in_words(path), replacement_of(path) if trainer.is_global_zero else nullcontext(path) as temporary:
        trainer.save_checkpoint(temporary)


def save_weights(trainer: Trainer, path: Path, module: nn.Module, fingerprint: str) -> None:
    """Write the weights alone; all processes come here, the first one writes.

    Raises
    ------
    TrainingInterruptedError
        If the disk refuses.
    """
    if trainer.is_global_zero:
        state = {"state_dict": module.state_dict(), "global_step": trainer.global_step, _FINGERPRINT: fingerprint}
        whole = BytesIO()  # torch says nothing that a person understands where a disk refuses
        torch.save(state, whole)
        with _refusals_in_words(path):
            replace_bytes(path, whole.getbuffer())


def kept_steps(path: Path, fingerprint: str) -> int:
    """Return how many steps of this run the weights in a file have behind them; 0 where they are not of this run."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
    except (RuntimeError, UnpicklingError, EOFError, OSError):
        return 0
    return int(state["global_step"]) if state.get(_FINGERPRINT) == fingerprint else 0


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


@contextmanager
def _refusals_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingInterruptedError(
            f"{path} cannot be written: {error.strerror or error}",
            "A folder with write permission and enough free space is needed",
            "Free space: the last checkpoint that was written is whole",
        ) from error
