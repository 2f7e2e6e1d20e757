"""The feature map of every grid slice of a volume, with each triplet visited once (algorithms 3.5).

Neighbouring nine-slice samples share two of their three triplets, so each triplet passes the trunk once and only the
third block of the central one is computed per sample. Everything after the dense blocks is linear: laterals and last
fusion are merged to one matrix for each role and level, multiplied at native resolution and summed up from the coarsest
level to the finest. Batch normalisation is merged into the convolution before it where there is one. The result equals
`DenseBackbone.forward` on every sample up to rounding, including the repeated slices at the ends.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lens_engine.detector.network.backbone import ROLES, DenseBackbone, DenseLayer, DenseTrunk
from lens_engine.detector.proposal_networks.base import bias_of, cell_table

PARTNER = 3
"""Grid slices between the central triplet of a sample and each of its neighbours."""

_CENTRAL = 1
"""Role of the central triplet among the previous, central and next one."""

Compute = Callable[[Tensor], tuple[Tensor, ...]]


class FeatureChunk(NamedTuple):
    """Features (n, channels, h, w) of grid slices `first` to `first + n`, channels-last."""

    first: int
    features: Tensor


class _Triplet(NamedTuple):
    """What samples need of one triplet.

    Attributes
    ----------
    levels
        Outputs of the dense blocks as matrices (cells, channels), the coarsest first; the third block as it is without
        neighbours.
    transition2
        (1, channels, h / 16, w / 16).
    """

    levels: tuple[Tensor, ...]
    transition2: Tensor


class SharedBackbone:
    """A backbone in evaluation mode with its linear layers merged.

    Parameters
    ----------
    backbone
        In evaluation mode; its weights must not change afterwards.
    dtype
        Precision to compute in; default: that of the weights. Layers are merged in double precision, and batch
        normalisation keeps single precision at least.
    compiled
        Turns the two functions that pass the dense blocks into faster ones, such as `torch.compile`.
    """

    def __init__(
        self,
        backbone: DenseBackbone,
        dtype: torch.dtype | None = None,
        compiled: Callable[[Compute], Compute] | None = None,
    ) -> None:
        if backbone.training:
            raise ValueError("The backbone is in training mode; features are shared exactly only in evaluation mode.")
        self._dtype = dtype or backbone.last_fusion.weight.dtype
        self._trunk = _merged_trunk(backbone.trunk, self._dtype)
        self._inner_weight = backbone.inner_fusion.weight.detach().to(self._dtype)
        self._inner_bias = bias_of(backbone.inner_fusion).detach().to(self._dtype)
        fusion, bias = _linear(backbone.last_fusion)
        by_role = fusion.reshape(fusion.shape[0], ROLES, -1).unbind(dim=1)
        laterals = [_linear(lateral) for lateral in reversed(backbone.pyramid.laterals)]
        self._weights = [
            [(role @ lateral).T.contiguous().to(self._dtype) for role in by_role] for lateral, _ in laterals
        ]
        lateral_bias = torch.stack([own for _, own in laterals]).sum(dim=0)
        self._last_bias = (bias + torch.stack(by_role).sum(dim=0) @ lateral_bias).to(self._dtype)
        self._alone: Compute = self._maps_alone
        self._central: Compute = self._central_block3
        if compiled is not None:
            self._alone, self._central = compiled(self._alone), compiled(self._central)

    def stream(self, slices: Iterable[Tensor], count: int, chunk: int) -> Iterator[FeatureChunk]:
        """Yield the features of `count` grid slices in order, at most `chunk` at a time.

        Parameters
        ----------
        slices
            All grid slices in order, each (height, width) on the device of the backbone.
        """
        triplets: dict[int, _Triplet] = {}
        done = 0
        for centres, images in _triplet_batches(slices, count, chunk):
            triplets.update(zip(centres, self._triplets(images), strict=True))
            ready = count if centres[-1] == count else centres[-1] - PARTNER + 1
            while done < ready:
                number = min(chunk, ready - done)
                yield FeatureChunk(done, self._fuse([_partners(triplets, done + i, count) for i in range(number)]))
                done += number
            for stale in [centre for centre in triplets if centre < min(done, count) - PARTNER]:
                del triplets[stale]

    def of_sample(self, sample: Tensor) -> Tensor:
        """Return the features (1, channels, h / 4, w / 4) of one sample (9, h, w), which shares none with others."""
        triplets = self._triplets(sample.reshape(ROLES, -1, *sample.shape[1:]))
        return self._fuse([tuple(triplets)])

    def _triplets(self, images: Tensor) -> list[_Triplet]:
        *blocks, transition2 = self._alone(images.to(self._dtype).contiguous(memory_format=torch.channels_last))
        levels = [cell_table(maps).view(len(images), -1, maps.shape[1]) for maps in blocks]
        return [_Triplet(tuple(level[i] for level in levels), transition2[i : i + 1]) for i in range(len(images))]

    def _maps_alone(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the third, second and first block and the second transition of triplets (n, 3, h, w)."""
        maps = self._trunk.triplet_maps(images)
        return self._trunk.block3(maps.transition2), maps.block2, maps.block1, maps.transition2

    def _central_block3(self, transition2: Tensor) -> tuple[Tensor, ...]:
        """Return the third block of central triplets from the second transition of all roles, (b, 3 c, h, w)."""
        fused = functional.conv2d(transition2, self._inner_weight, self._inner_bias)
        return (self._trunk.block3(fused),)

    def _fuse(self, samples: list[tuple[_Triplet, ...]]) -> Tensor:
        inner = torch.cat([torch.cat([triplet.transition2 for triplet in sample], dim=1) for sample in samples])
        (central,) = self._central(inner)
        batch, _, height, width = central.shape
        central_level = cell_table(central).view(batch, height * width, -1)
        maps = self._last_bias.expand(batch, height, width, -1).clone()
        for level, weights in enumerate(self._weights):
            if level > 0:
                maps = _doubled(maps)
            for cells, sample, own in zip(maps.flatten(1, 2), samples, central_level, strict=True):
                for role, (triplet, weight) in enumerate(zip(sample, weights, strict=True)):
                    is_replaced = level == 0 and role == _CENTRAL
                    cells.addmm_(own if is_replaced else triplet.levels[level], weight)
        return maps.permute(0, 3, 1, 2)


def _triplet_batches(slices: Iterable[Tensor], count: int, chunk: int) -> Iterator[tuple[range, Tensor]]:
    """Yield the centres -1 to `count` of all distinct triplets with their images (n, 3, h, w).

    Each slice is asked for once, in order, and forgotten when no later triplet needs it.
    """
    window: dict[int, Tensor] = {}
    supply = enumerate(slices)
    for first in range(-1, count + 1, chunk):
        centres = range(first, min(first + chunk, count + 1))
        members = [[min(max(index, 0), count - 1) for index in (centre - 1, centre, centre + 1)] for centre in centres]
        while members[-1][-1] not in window:
            index, image = next(supply)
            window[index] = image
        yield centres, torch.stack([torch.stack([window[index] for index in trio]) for trio in members])
        for stale in [index for index in window if index < members[-1][1]]:
            del window[stale]


def _partners(triplets: dict[int, _Triplet], centre: int, count: int) -> tuple[_Triplet, ...]:
    """Return the three triplets of a sample; beyond the ends every triplet equals the first or last one."""
    return triplets[max(centre - PARTNER, -1)], triplets[centre], triplets[min(centre + PARTNER, count)]


def _doubled(maps: Tensor) -> Tensor:
    """Return maps (b, h, w, c) with every cell four times."""
    return functional.interpolate(maps.permute(0, 3, 1, 2), scale_factor=2.0, mode="nearest").permute(0, 2, 3, 1)


def _merged_trunk(trunk: DenseTrunk, dtype: torch.dtype) -> DenseTrunk:
    """Return a copy whose normalisations are part of the convolutions before them, where there are any."""
    merged = copy.deepcopy(trunk).double().requires_grad_(requires_grad=False)
    _merge(merged.features, "conv0", "norm0")
    for layer in [module for module in merged.modules() if isinstance(module, DenseLayer)]:
        _merge(layer, "conv1", "norm2")
    for module in merged.modules():
        if isinstance(module, nn.Conv2d):
            module.to(dtype)
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        elif isinstance(module, nn.BatchNorm2d):
            module.to(torch.promote_types(dtype, torch.float32))
    return merged


def _merge(parent: nn.Module, convolution: str, norm: str) -> None:
    first, second = parent.get_submodule(convolution), parent.get_submodule(norm)
    if not isinstance(first, nn.Conv2d) or not isinstance(second, nn.BatchNorm2d):
        raise TypeError(f"{convolution} and {norm} are no convolution and normalisation.")
    setattr(parent, convolution, fuse_conv_bn_eval(first, second))
    setattr(parent, norm, nn.Identity())


def _linear(convolution: nn.Module) -> tuple[Tensor, Tensor]:
    """Return a 1x1 convolution as a float64 matrix (out, in) and its bias."""
    if not isinstance(convolution, nn.Conv2d):
        raise TypeError(f"{type(convolution).__name__} is not a convolution.")
    return convolution.weight.detach().double().flatten(1), bias_of(convolution).detach().double()
