"""Linear resampling of slices in all three directions at once: each target pixel from the few voxels that it reads.

Along an axis target pixel i has its centre at `(i + 0.5) / scale` in source edges (algorithms 2, step 5). Beyond the
ends the last source pixel repeats.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


class Taps(NamedTuple):
    """What n targets along one axis read of a part of the source.

    Attributes
    ----------
    part
        The source places that are read at all, ascending.
    indices
        int64 (n, taps), into `part`.
    weights
        float32 (n, taps), 1 together for each target.
    """

    part: range | tuple[int, ...]
    indices: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> "Taps":
        """Return the same on a device."""
        return Taps(self.part, self.indices.to(device), self.weights.to(device))


def linear_taps(source: int, targets: range, scale: float, *, antialias: bool) -> Taps:
    """Return what linear interpolation between pixel centres reads.

    Parameters
    ----------
    source
        Pixels of the source along the axis.
    targets
        The target pixels that are wanted.
    scale
        Target pixels per source pixel.
    antialias
        With a scale below 1, widen the triangle of weights to the size of a target pixel.
    """
    reach = max(1.0, 1.0 / scale) if antialias else 1.0
    centres = (np.arange(targets.start, targets.stop) + 0.5) / scale - 0.5
    centres = np.minimum(np.maximum(centres, 0), source - 1)[:, None]
    read = np.floor(centres - reach) + np.arange(1, math.ceil(2 * reach) + 1)
    weights = np.maximum(1 - np.abs(centres - read) / reach, 0) * ((read >= 0) & (read < source))
    weights /= weights.sum(axis=1, keepdims=True)
    read = np.minimum(np.maximum(read, 0), source - 1).astype(np.int64)
    part = range(int(read[0, 0]), int(read[-1, -1]) + 1)
    return Taps(part, torch.from_numpy(read - part.start), torch.from_numpy(weights.astype(np.float32)))


def resample(planes: Tensor, depth: Taps, rows: Taps, columns: Taps) -> Tensor:
    """Return images (n, height, width) of n targets along the depth; a view whose columns are contiguous.

    Parameters
    ----------
    planes
        float32, the parts of the source that the taps read, on their device.
    """
    _, height, width = planes.shape
    indices = depth.indices[:, None, :, None] * height + rows.indices[None, :, None, :]
    weights = depth.weights[:, None, :, None] * rows.weights[None, :, None, :]
    images = _sums_of_rows(
        planes.reshape(-1, width), indices.flatten(2).flatten(0, 1), weights.flatten(2).flatten(0, 1)
    )
    # One matrix of all images is turned round in half the time that they take one by one.
    images = _sums_of_rows(images.T.contiguous(), columns.indices, columns.weights)
    return images.T.view(len(depth.indices), len(rows.indices), -1)


def _sums_of_rows(matrix: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Return a matrix each row of which is the weighted sum of a few rows of `matrix`."""
    return functional.embedding_bag(indices, matrix, per_sample_weights=weights, mode="sum")
