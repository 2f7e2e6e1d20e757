"""Weights and card of a detector, written as a pair and loaded only when they fit each other and the code.

Loading never unpickles: weights are safetensors. The weights file is written first and the card last, each under a
temporary name and then renamed, so that an interrupted write leaves no folder that looks complete.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from lens_engine.checkpoint_card import CARD_NAME, WEIGHTS_NAME, CheckpointCard, read_card
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.config import DetectorConfig
from lens_engine.errors import CheckpointError
from lens_engine.io.atomic_files import replace_bytes

_COUNTER = "num_batches_tracked"
_STATISTIC = "running_"
_SHOWN_DIFFERENCES = 5


def save_checkpoint(
    model: LensDetector, card: CheckpointCard, folder: Path, *, dtype: torch.dtype = torch.float32
) -> CheckpointCard:
    """Write weights and card to `folder` (made if absent) and return the card as written.

    Parameters
    ----------
    card
        What the model cannot know about itself; the rest is filled in here.
    dtype
        Of the stored weights; `torch.float16` halves the file. Running statistics, which may be large, stay float32.

    Raises
    ------
    CheckpointError
        If a weight is not finite as stored, or the disk refuses.
    """
    tensors = {
        name: _stored(tensor, torch.float32 if _STATISTIC in name else dtype)
        for name, tensor in _weights(model).items()
    }
    broken = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise CheckpointError(
            f"The weights {_listed(broken)} are not finite as {dtype}", "Finite weights are needed", "Train again"
        )
    content = save(tensors)
    complete = card.model_copy(
        update={
            "config": model.config.model_dump(mode="json"),
            "experts": model.config.experts,
            "parameters_digest": parameters_digest(tensors),
            "weights_digest": hashlib.sha256(content).hexdigest(),
            "parameter_count": sum(parameter.numel() for parameter in model.parameters()),
        }
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CARD_NAME).unlink(missing_ok=True)
        replace_bytes(folder / WEIGHTS_NAME, content)
        replace_bytes(folder / CARD_NAME, (complete.model_dump_json(indent=2) + "\n").encode())
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint cannot be written to {folder} ({error.strerror})",
            "A writable folder with enough space is needed",
            "Free some space or choose another folder",
        ) from error
    return complete


def load_checkpoint(folder: Path, device: torch.device | str = "cpu") -> tuple[LensDetector, CheckpointCard]:
    """Return the detector of `folder` in evaluation mode, as float32 on `device`, with its card.

    Raises
    ------
    CheckpointError
        If weights, card and code do not fit each other; the message says what differs.
    """
    card = read_card(folder)
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
    model = LensDetector(_config_of(card, folder))
    differences = _differences(tensors, _weights(model))
    if differences:
        raise CheckpointError(
            f"The weights {path} do not fit their card: {_listed(differences)}",
            "Every parameter of the configuration must be there with its shape",
            "Use the checkpoint with the version that wrote it, or train again",
        )
    model.load_state_dict({name: tensor.to(torch.float32) for name, tensor in tensors.items()}, strict=False)
    return model.to(device).eval(), card


def _config_of(card: CheckpointCard, folder: Path) -> DetectorConfig:
    try:
        config = DetectorConfig.model_validate(card.config)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise CheckpointError(
            f"The configuration in the card of {folder} cannot be built: {problems}",
            "A configuration of this version is needed",
            "Update LENS-napari or train again",
        ) from error
    if config.experts != card.experts:
        raise CheckpointError(
            f"The card of {folder} lists the experts {card.experts}, its configuration {config.experts}",
            "Both must be the same",
            "Copy the checkpoint again",
        )
    return config


def parameters_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 of the names and shapes of parameters, whatever their values."""
    lines = (f"{name} {tuple(tensor.shape)}\n" for name, tensor in sorted(tensors.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _weights(model: LensDetector) -> dict[str, Tensor]:
    """Return everything inference needs: parameters and running statistics, without batch counters."""
    return {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(_COUNTER)}


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.detach().to("cpu", dtype).contiguous()


def _differences(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    missing = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    surplus = [f"{name} is unknown" for name in sorted(found.keys() - wanted.keys())]
    shapes = [
        f"{name} is {tuple(found[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in sorted(found.keys() & wanted.keys())
        if found[name].shape != wanted[name].shape
    ]
    return missing + surplus + shapes


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN_DIFFERENCES
    return ", ".join(names[:_SHOWN_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")
