"""Published ImageNet weights of DenseNet-121 as the beginning of the trunk (algorithms 3.1).

Statistics and affine weights of batch normalisation come with them and go on learning: the trunk's input is about 50
times larger than what ImageNet networks get (algorithms 2, step 8).
"""

import re
import urllib.error
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lens_engine.detector.checkpoints.folder import differences, listed
from lens_engine.detector.checkpoints.published_weights import read_state_dict
from lens_engine.detector.config import BackboneConfig
from lens_engine.detector.network.backbone import DenseTrunk
from lens_engine.errors import CheckpointError

IMAGENET_URL = "https://download.pytorch.org/models/densenet121-a639ec97.pth"
"""Weights of torchvision's `densenet121` (IMAGENET1K_V1); the name ends with the beginning of its SHA-256."""

NETWORK = "DenseNet-121"

_UNUSED = ("features.transition3.", "features.denseblock4.", "features.norm5.", "classifier.")
"""Parts of the published network behind the trunk."""
_COUNTER = ".num_batches_tracked"
_LEGACY = re.compile(r"(\.denselayer\d+\.(?:norm|conv))\.([12])\.")
"""The published file is older than the names: `norm.1` there is `norm1` in the network."""


@dataclass(frozen=True, slots=True)
class ImagenetReport:
    """What became of a published state dict.

    Attributes
    ----------
    used
        Tensors that the trunk has now.
    ignored
        Tensors of the parts behind the trunk.
    """

    used: int
    ignored: int


def load_imagenet_file(trunk: DenseTrunk, path: Path) -> ImagenetReport:
    """Put the weights of a file (safetensors, or a torch file of tensors) into the trunk.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or its weights do not fit the trunk; the message says what differs.
    """
    return load_imagenet(trunk, read_state_dict(path, NETWORK), str(path))


def download_imagenet(trunk: DenseTrunk, folder: Path | None = None, url: str = IMAGENET_URL) -> ImagenetReport:
    """Download the published weights, unless an earlier call did, and put them into the trunk.

    Parameters
    ----------
    folder
        Where the file is kept; default: the cache of `torch.hub`.

    Raises
    ------
    CheckpointError
        If the file cannot be downloaded, is not the published one, or does not fit the trunk.
    """
    try:
        state = torch.hub.load_state_dict_from_url(
            url,
            model_dir=None if folder is None else str(folder),
            map_location="cpu",
            progress=False,
            check_hash=True,
            weights_only=True,
        )
    except (OSError, urllib.error.URLError, RuntimeError) as error:
        raise CheckpointError(
            f"The weights {url} cannot be downloaded ({error})",
            f"The published {NETWORK} is needed",
            "Download the file on another machine, and name it here",
        ) from error
    return load_imagenet(trunk, state, url)


def load_imagenet(trunk: DenseTrunk, state: Mapping[str, Tensor], source: str) -> ImagenetReport:
    """Put a state dict with torchvision's names, or the older ones of the published file, into the trunk.

    Parameters
    ----------
    source
        Where the state dict comes from, for messages.

    Raises
    ------
    CheckpointError
        If the trunk is not the published one, or a weight is missing, unknown, of another shape or not finite.
    """
    _check_is_published(trunk)
    named = {_LEGACY.sub(r"\1\2.", name): tensor for name, tensor in state.items() if not name.endswith(_COUNTER)}
    found = {name: tensor for name, tensor in named.items() if not name.startswith(_UNUSED)}
    wanted = {name: tensor for name, tensor in trunk.state_dict().items() if not name.endswith(_COUNTER)}
    problems = differences(found, wanted)
    problems += [f"{name} is not finite" for name, tensor in found.items() if not bool(torch.isfinite(tensor).all())]
    if problems:
        raise CheckpointError(
            f"The weights {source} are not those of {NETWORK}: {listed(problems)}",
            "Every parameter of its first three dense blocks must be there with its shape",
            f"Use {IMAGENET_URL} or a copy of it",
        )
    trunk.load_state_dict({name: tensor.to(torch.float32) for name, tensor in found.items()}, strict=False)
    return ImagenetReport(used=len(found), ignored=len(named) - len(found))


def _check_is_published(trunk: DenseTrunk) -> None:
    published = BackboneConfig(fpn_channels=trunk.config.fpn_channels)
    if trunk.config == published:
        return
    changed = [
        f"{name} is {value} instead of {getattr(published, name)}"
        for name, value in trunk.config
        if value != getattr(published, name)
    ]
    raise CheckpointError(
        f"Weights of {NETWORK} were asked for a narrower or other trunk: {', '.join(changed)}",
        "The published backbone is needed",
        "Choose the published size of the detector, or start without ImageNet weights",
    )
