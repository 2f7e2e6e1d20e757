"""State dicts that others published, read from a file; nothing is unpickled but tensors."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lens_engine.errors import CheckpointError


def read_state_dict(path: Path, network: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors or torch file by name.

    Parameters
    ----------
    network
        Whose weights are wanted, for the message.

    Raises
    ------
    CheckpointError
        If the file is missing, broken, or holds anything but tensors with names.
    """
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (OSError, SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise _unreadable(path, network, _first_line(error)) from error
    if not isinstance(state, Mapping):
        raise _unreadable(path, network, f"it holds a {type(state).__name__}")
    others = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise _unreadable(path, network, f"its entry {others[0]!r} is no tensor")
    return {str(name): value for name, value in state.items()}


def _unreadable(path: Path, network: str, problem: str) -> CheckpointError:
    return CheckpointError(
        f"The weights {path} cannot be read ({problem})",
        f"A state dict of {network} as .safetensors or .pth is needed",
        "Download it again, or export it with torch.save(model.state_dict(), file)",
    )


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
