"""Published weights of a 2D ResNet, made 3D as I3D does (algorithms 4.6).

A kernel is repeated along z and divided by its depth, so that a volume which is constant along z has the features that
the 2D network gives its one slice; the stem for grey values is the sum over red, green and blue.
"""

from collections.abc import Mapping

from torch import Tensor

from lens_engine.detector.checkpoints.folder import differences, listed
from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_engine.errors import CheckpointError

_STEM = "conv1.weight"
_COUNTER = "num_batches_tracked"
_CLASSIFIER = "fc."


def inflate(network: FprNetwork, weights: Mapping[str, Tensor]) -> None:
    """Put the weights of a 2D ResNet with torchvision's names into the trunk; its classifier is left out.

    Raises
    ------
    CheckpointError
        If a parameter of the trunk is missing or has another shape.
    """
    wanted = {name: tensor for name, tensor in network.trunk.state_dict().items() if not name.endswith(_COUNTER)}
    found = {
        name: _summed(tensor) if name == _STEM else tensor
        for name, tensor in weights.items()
        if not name.endswith(_COUNTER) and not name.startswith(_CLASSIFIER)
    }
    problems = differences(found, {name: _flat(tensor) for name, tensor in wanted.items()})
    if problems:
        raise CheckpointError(
            f"The 2D weights do not fit the network: {listed(problems)}",
            f"A ResNet with blocks {network.config.blocks} and widths {network.config.widths} is needed",
            "Use the weights of ResNet-18 with the published configuration",
        )
    network.trunk.load_state_dict({name: _deepened(found[name], wanted[name]) for name in wanted}, strict=False)


def _summed(stem: Tensor) -> Tensor:
    return stem.sum(dim=1, keepdim=True) if stem.dim() == 4 else stem


def _flat(tensor: Tensor) -> Tensor:
    """Return a tensor of the shape that this one has in the 2D network."""
    return tensor[:, :, 0] if tensor.dim() == 5 else tensor


def _deepened(flat: Tensor, wanted: Tensor) -> Tensor:
    if wanted.dim() != 5:
        return flat
    depth = wanted.shape[2]
    return flat[:, :, None].expand(-1, -1, depth, -1, -1) / depth
