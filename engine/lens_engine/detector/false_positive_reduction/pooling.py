"""Max pooling of a 3D box to a fixed number of bins, in plain torch."""

import torch
from torch import Tensor
from torch.nn import functional

Bins = tuple[int, int, int]


def roi_max_pool(maps: Tensor, boxes: Tensor, bins: Bins) -> Tensor:
    """Return the maximum of each bin of one box per map, (n, channels, *bins).

    Cell i covers [i, i + 1). A box is made of all cells that it touches, at least one, inside the map. Of m cells along
    an axis, bin k of b takes cells floor(k m / b) to ceil((k + 1) m / b), so that bins share cells where they must.

    Parameters
    ----------
    maps
        (n, channels, depth, height, width).
    boxes
        (n, 6), `[x1, y1, z1, x2, y2, z2]` in cells.
    bins
        Along (z, y, x).
    """
    if not len(maps):
        return maps.new_zeros((0, maps.shape[1], *bins))
    lengths = boxes.new_tensor(maps.shape[:1:-1])  # x, y, z
    low = torch.minimum(boxes[:, :3].floor().clamp(min=0), lengths - 1)
    high = torch.maximum(torch.minimum(boxes[:, 3:].ceil(), lengths), low + 1)
    ranges = torch.cat([low, high], dim=1).long().tolist()
    pooled = [
        functional.adaptive_max_pool3d(one[:, z1:z2, y1:y2, x1:x2], bins)
        for one, (x1, y1, z1, x2, y2, z2) in zip(maps, ranges, strict=True)
    ]
    return torch.stack(pooled)
