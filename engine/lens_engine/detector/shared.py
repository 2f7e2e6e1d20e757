"""The feature map of every grid slice of a volume, with each triplet visited once (spec 3.5).

Neighbouring nine-slice samples share two of their three triplets, and everything after the dense blocks is linear. So
each triplet passes the trunk once, its contributions to the three samples it belongs to are computed by merged 1x1
convolutions at native resolution, and only the central third block is computed per sample. The result equals
`DenseBackbone.forward` on every sample up to rounding, including the repeated slices at the ends.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lens_engine.detector.backbone import ROLES, DenseBackbone

PARTNER = 3
"""Grid slices between the central triplet of a sample and each of its neighbours."""


class FeatureChunk(NamedTuple):
    """Features (n, channels, h, w) of grid slices `first` to `first + n`."""

    first: int
    features: Tensor


class _TripletShare(NamedTuple):
    """What one triplet contributes to the samples it belongs to, each (channels, h, w) but `transition2`."""

    as_previous: Tensor
    as_next: Tensor
    as_central: Tensor
    transition2: Tensor


class SharedBackbone:
    """A backbone in evaluation mode with its linear layers merged.

    Parameters
    ----------
    backbone
        In evaluation mode; its weights must not change afterwards.
    """

    def __init__(self, backbone: DenseBackbone) -> None:
        if backbone.training:
            raise ValueError("The backbone is in training mode; features are shared exactly only in evaluation mode.")
        self._trunk = backbone.trunk
        self._inner_fusion = backbone.inner_fusion
        fusion = _matrix(backbone.last_fusion)
        per_role = fusion.reshape(fusion.shape[0], ROLES, -1).unbind(dim=1)
        previous, central, following = per_role
        laterals = [_matrix(lateral) for lateral in backbone.pyramid.laterals]
        dtype = backbone.last_fusion.weight.dtype
        outer_first = (previous, following, central)  # the two outer roles get the side third block as well
        self._block1 = _as_convolution([role @ laterals[0] for role in outer_first], dtype)
        self._block2 = _as_convolution([role @ laterals[1] for role in outer_first], dtype)
        self._side_block3 = _as_convolution([role @ laterals[2] for role in outer_first[:2]], dtype)
        self._central_block3 = _as_convolution([central @ laterals[2]], dtype)
        lateral_bias = torch.stack([_bias(lateral) for lateral in backbone.pyramid.laterals]).sum(dim=0)
        bias = _bias(backbone.last_fusion) + torch.stack(per_role).sum(dim=0) @ lateral_bias
        self._bias = bias.to(dtype).view(-1, 1, 1)

    def stream(
        self, network_slice: Callable[[int], NDArray[np.float32]], count: int, chunk: int
    ) -> Iterator[FeatureChunk]:
        """Yield the features of grid slices 0 to `count` in order, at most `chunk` at a time.

        Parameters
        ----------
        network_slice
            Returns one grid slice, (height, width); called once for each, in order.
        """
        slices = _SliceWindow(network_slice, count, self._bias)
        shares: dict[int, _TripletShare] = {}
        done = 0
        for first in range(-1, count + 1, chunk):
            centres = range(first, min(first + chunk, count + 1))
            triplets = torch.stack([slices.triplet(centre) for centre in centres])
            shares.update(zip(centres, self._shares(triplets), strict=True))
            ready = count if centres[-1] == count else centres[-1] - PARTNER + 1
            while done < ready:
                number = min(chunk, ready - done)
                yield FeatureChunk(done, self._fuse([_partners(shares, done + i, count) for i in range(number)]))
                done += number
            for stale in [centre for centre in shares if centre < min(done, count) - PARTNER]:
                del shares[stale]

    def _shares(self, triplets: Tensor) -> list[_TripletShare]:
        maps = self._trunk.triplet_maps(triplets)
        outer = functional.conv2d(self._trunk.block3(maps.transition2), self._side_block3)
        middle = functional.conv2d(maps.block2, self._block2)
        middle[:, : outer.shape[1]] += _upsampled(outer, 2)
        finest = functional.conv2d(maps.block1, self._block1).add_(_upsampled(middle, 2))
        roles = finest.chunk(ROLES, dim=1)
        return [_TripletShare(roles[0][i], roles[1][i], roles[2][i], maps.transition2[i]) for i in range(len(triplets))]

    def _fuse(self, samples: list[tuple[_TripletShare, _TripletShare, _TripletShare]]) -> Tensor:
        inner = torch.stack([torch.cat([share.transition2 for share in sample]) for sample in samples])
        central = functional.conv2d(self._trunk.block3(self._inner_fusion(inner)), self._central_block3)
        features = _upsampled(central, 4)
        for index, (previous, own, following) in enumerate(samples):
            features[index] += previous.as_previous + own.as_central + following.as_next + self._bias
        return features


class _SliceWindow:
    """Makes triplets from slices, each slice made once and forgotten when no later triplet needs it."""

    def __init__(self, network_slice: Callable[[int], NDArray[np.float32]], count: int, like: Tensor) -> None:
        self._network_slice = network_slice
        self._count = count
        self._like = like
        self._slices: dict[int, Tensor] = {}

    def triplet(self, centre: int) -> Tensor:
        indices = [min(max(index, 0), self._count - 1) for index in (centre - 1, centre, centre + 1)]
        for index in indices:
            if index not in self._slices:
                self._slices[index] = torch.from_numpy(self._network_slice(index)).to(self._like)
        triplet = torch.stack([self._slices[index] for index in indices])
        for stale in [index for index in self._slices if index < indices[1]]:
            del self._slices[stale]
        return triplet


def _partners(
    shares: dict[int, _TripletShare], centre: int, count: int
) -> tuple[_TripletShare, _TripletShare, _TripletShare]:
    """Return the three triplets of a sample; beyond the ends every triplet equals the first or last one."""
    return shares[max(centre - PARTNER, -1)], shares[centre], shares[min(centre + PARTNER, count)]


def _upsampled(maps: Tensor, factor: int) -> Tensor:
    return functional.interpolate(maps, scale_factor=float(factor), mode="nearest")


def _matrix(convolution: nn.Module) -> Tensor:
    """Return the weight of a 1x1 convolution as a float64 matrix (out, in)."""
    if not isinstance(convolution, nn.Conv2d):
        raise TypeError(f"{type(convolution).__name__} is not a convolution.")
    return convolution.weight.detach().double().flatten(1)


def _bias(convolution: nn.Module) -> Tensor:
    if not isinstance(convolution, nn.Conv2d) or convolution.bias is None:
        raise TypeError(f"{type(convolution).__name__} is not a convolution with a bias.")
    return convolution.bias.detach().double()


def _as_convolution(matrices: list[Tensor], dtype: torch.dtype) -> Tensor:
    return torch.cat(matrices).to(dtype)[:, :, None, None].contiguous()
