"""The folder of a checkpoint, whatever network it holds: weights and card, written as a pair and read as a pair.

Loading never unpickles: weights are safetensors. The weights file is written first and the card last, each under a
temporary name and then renamed, so that an interrupted write leaves no folder that looks complete.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from lens_engine.checkpoint_card import CARD_NAME, WEIGHTS_NAME, CheckpointCard, NetworkKind, read_card
from lens_engine.errors import CheckpointError, ExportError
from lens_engine.io.atomic_files import replace_bytes

_COUNTER = "num_batches_tracked"
_STATISTIC = "running_"
_SHOWN_DIFFERENCES = 5

_Config = TypeVar("_Config", bound=BaseModel)


def write_folder(
    network: nn.Module, card: CheckpointCard, folder: Path, *, dtype: torch.dtype = torch.float32
) -> CheckpointCard:
    """Write weights and card to `folder` (made if absent) and return the card with digests and count filled in.

    Parameters
    ----------
    dtype
        Of the stored weights; `torch.float16` halves the file. Running statistics, which may be large, stay float32.

    Raises
    ------
    CheckpointError
        If a weight is not finite as stored.
    ExportError
        If the disk refuses.
    """
    tensors = {
        name: _stored(tensor, torch.float32 if _STATISTIC in name else dtype)
        for name, tensor in _weights(network).items()
    }
    broken = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise CheckpointError(
            f"The weights {listed(broken)} are not finite as {dtype}", "Finite weights are needed", "Train again"
        )
    content = save(tensors)
    complete = card.model_copy(
        update={
            "parameters_digest": parameters_digest(tensors),
            "weights_digest": hashlib.sha256(content).hexdigest(),
            "parameter_count": sum(parameter.numel() for parameter in network.parameters()),
        }
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CARD_NAME).unlink(missing_ok=True)
        replace_bytes(folder / WEIGHTS_NAME, content)
        replace_bytes(folder / CARD_NAME, (complete.model_dump_json(indent=2) + "\n").encode())
    except OSError as error:
        raise ExportError(
            f"The checkpoint cannot be written to {folder} ({error.strerror})",
            "A writable folder with enough space is needed",
            "Free some space or choose another folder",
        ) from error
    return complete


def read_folder(folder: Path, kind: NetworkKind) -> tuple[CheckpointCard, dict[str, Tensor]]:
    """Return the card and the tensors of `folder`, which must hold a network of that kind.

    Raises
    ------
    CheckpointError
        If it is another kind, or weights and card are not a pair.
    """
    card = read_card(folder)
    if card.network is not kind:
        raise CheckpointError(
            f"The checkpoint {folder} holds a {card.network} network",
            f"A {kind} network is needed here",
            "Choose the folder of another checkpoint",
        )
    path = folder / WEIGHTS_NAME
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"The weights {path} cannot be read ({error.strerror})",
            "The file beside the card is needed",
            "Copy it again",
        ) from error
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(
            f"The weights {path} are not a safetensors file ({error})", "An intact file is needed", "Copy it again"
        ) from error
    if digest != card.weights_digest:
        raise CheckpointError(
            f"The weights {path} have digest {digest[:12]}, their card says {card.weights_digest[:12]}",
            "Weights and card must be from the same checkpoint",
            "Copy both files again",
        )
    return card, tensors


def config_of(card: CheckpointCard, config: type[_Config], folder: Path) -> _Config:
    """Return the configuration in the card.

    Raises
    ------
    CheckpointError
        If this version cannot build it.
    """
    try:
        return config.model_validate(card.config)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise CheckpointError(
            f"The configuration in the card of {folder} cannot be built: {problems}",
            "A configuration of this version is needed",
            "Update LENS-napari or train again",
        ) from error


def fill(network: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Put the tensors of `folder` into the network, as float32.

    Raises
    ------
    CheckpointError
        If names or shapes differ; the message lists them.
    """
    found = differences(tensors, _weights(network))
    if found:
        raise CheckpointError(
            f"The weights {folder / WEIGHTS_NAME} do not fit their card: {listed(found)}",
            "Every parameter of the configuration must be there with its shape",
            "Use the checkpoint with the version that wrote it, or train again",
        )
    network.load_state_dict({name: tensor.to(torch.float32) for name, tensor in tensors.items()}, strict=False)


def parameters_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 of the names and shapes of parameters, whatever their values."""
    lines = (f"{name} {tuple(tensor.shape)}\n" for name, tensor in sorted(tensors.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def differences(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """Return what is missing, unknown or of another shape, in words."""
    missing = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    surplus = [f"{name} is unknown" for name in sorted(found.keys() - wanted.keys())]
    shapes = [
        f"{name} is {tuple(found[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in sorted(found.keys() & wanted.keys())
        if found[name].shape != wanted[name].shape
    ]
    return missing + surplus + shapes


def listed(names: list[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - _SHOWN_DIFFERENCES
    return ", ".join(names[:_SHOWN_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """Return everything inference needs: parameters and running statistics, without batch counters."""
    return {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(_COUNTER)}


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.detach().to("cpu", dtype).contiguous()
