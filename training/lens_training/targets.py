"""What the network should say: centre and size maps of the proposal network, and labelled regions for the head.

Spec 4.1 and 4.3. Cell (u, v) of the feature map stands for the image point `(STRIDE * u + STRIDE / 2, ...)`.
Precedence of labels (DESIGN section 4): lesion over unsure over rejected over uncertain over background.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lens_engine.boxes import centres, overlaps
from lens_training.labels import BoxArray, SliceLabels

STRIDE = 4
"""Image pixels per cell of the feature map."""
CENTRE_SHARE = 0.2
"""Share of a lesion's sides that is its centre (B_ctn of spec 4.1)."""
IGNORED_SHARE = 0.5
"""Share of a lesion's sides in which nothing but the centre is learnt (B_ign of spec 4.1)."""
REGION_OVERLAP = 0.5
"""IoU from which on a region is a lesion, or an ignored one (spec 4.3)."""

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


@dataclass(frozen=True, slots=True, eq=False)
class CentreTargets:
    """Targets of one proposal network on one image.

    Attributes
    ----------
    labels
        int8 (h, w): `POSITIVE`, `NEGATIVE` or `IGNORED`.
    distances
        float32 (4, h, w): to the top, bottom, left and right side of the lesion, in cells; 0 where not positive.
    """

    labels: torch.Tensor
    distances: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class RegionTargets:
    """Regions of one image that the head learns from.

    Attributes
    ----------
    boxes
        float64 (r, 4), image pixels.
    is_lesion
        bool (r,).
    lesions
        float64 (r, 4), the lesion that each region should become; the region itself where it is none.
    """

    boxes: BoxArray
    is_lesion: NDArray[np.bool_]
    lesions: BoxArray


@dataclass(frozen=True, slots=True)
class RegionSampling:
    """How many regions of one image the head learns from (spec 4.3).

    Attributes
    ----------
    count
        Regions per image.
    lesion_share
        At most this share of them are lesions.
    """

    count: int
    lesion_share: float


def centre_targets(labels: SliceLabels, height: int, width: int) -> CentreTargets:
    """Return the targets of a proposal network.

    Parameters
    ----------
    labels
        In image pixels.
    height, width
        Of the feature map, in cells.
    """
    y = (np.arange(height, dtype=np.float64) + 0.5)[:, None] * STRIDE
    x = (np.arange(width, dtype=np.float64) + 0.5)[None, :] * STRIDE
    cells = np.full((height, width), NEGATIVE, dtype=np.int8)
    distances = np.zeros((4, height, width), dtype=np.float32)

    def mark(boxes: BoxArray, share: float, value: int, with_centre_cell: bool) -> None:
        for box in boxes:
            cells[_inside(box, share, x, y)] = value
            if with_centre_cell:
                cells[_centre_cell(box, height, width)] = value

    mark(labels.uncertain, IGNORED_SHARE, IGNORED, with_centre_cell=True)
    mark(labels.rejected, 1.0, NEGATIVE, with_centre_cell=False)
    mark(labels.unsure, 1.0, IGNORED, with_centre_cell=True)
    mark(labels.lesions, IGNORED_SHARE, IGNORED, with_centre_cell=False)
    largest_first = labels.lesions[np.argsort(-_areas(labels.lesions), kind="stable")]
    for box in largest_first:
        inside = _inside(box, CENTRE_SHARE, x, y)
        inside[_centre_cell(box, height, width)] = True
        cells[inside] = POSITIVE
        x1, y1, x2, y2 = box
        sides = np.stack(np.broadcast_arrays(y - y1, y2 - y, x - x1, x2 - x)) / STRIDE
        distances[:, inside] = sides[:, inside]
    return CentreTargets(torch.from_numpy(cells), torch.from_numpy(distances))


def sample_regions(
    proposals: BoxArray, labels: SliceLabels, sampling: RegionSampling, generator: np.random.Generator
) -> RegionTargets:
    """Choose the regions of one image that the head learns from.

    The lesions and the rejected places of the image join the proposals. Rejected places are sampled always, as hard
    negatives, and so is what overlaps them, even where a mined place would be ignored.

    Parameters
    ----------
    proposals
        (p, 4), image pixels.
    """
    boxes = np.concatenate([proposals, labels.lesions, labels.rejected])
    is_rejected_place = np.arange(len(boxes)) >= len(proposals) + len(labels.lesions)
    match, overlap = _best_match(boxes, labels.lesions)
    is_lesion = (overlap >= REGION_OVERLAP) & ~is_rejected_place
    rejected_overlap = _best_match(boxes, labels.rejected)[1]
    is_hard = is_rejected_place | (rejected_overlap >= REGION_OVERLAP)
    is_ignored = _falls_into(boxes, labels.uncertain, IGNORED_SHARE) & ~is_hard
    is_ignored |= _falls_into(boxes, labels.unsure, 1.0) & ~is_rejected_place
    is_background = ~is_lesion & ~is_ignored

    positive = generator.permutation(np.flatnonzero(is_lesion))[: int(sampling.count * sampling.lesion_share)]
    hard = generator.permutation(np.flatnonzero(is_background & is_rejected_place))
    easy = generator.permutation(np.flatnonzero(is_background & ~is_rejected_place))
    negative = np.concatenate([hard, easy])[: sampling.count - len(positive)]
    chosen = np.concatenate([positive, negative]).astype(np.intp)
    lesions = boxes[chosen].copy()
    lesions[: len(positive)] = labels.lesions[match[positive]]
    return RegionTargets(boxes[chosen], np.arange(len(chosen)) < len(positive), lesions)


def _inside(box: NDArray[np.float64], share: float, x: BoxArray, y: BoxArray) -> NDArray[np.bool_]:
    """Return which cell points lie in the central `share` of the box, (h, w)."""
    x1, y1, x2, y2 = box
    half_width, half_height = (x2 - x1) / 2 * share, (y2 - y1) / 2 * share
    inside: NDArray[np.bool_] = (np.abs(x - (x1 + x2) / 2) <= half_width) & (np.abs(y - (y1 + y2) / 2) <= half_height)
    return inside


def _centre_cell(box: NDArray[np.float64], height: int, width: int) -> tuple[int, int]:
    x1, y1, x2, y2 = box
    row, column = int((y1 + y2) / 2 // STRIDE), int((x1 + x2) / 2 // STRIDE)
    return min(max(row, 0), height - 1), min(max(column, 0), width - 1)


def _areas(boxes: BoxArray) -> NDArray[np.float64]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _best_match(boxes: BoxArray, others: BoxArray) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    if not len(others):
        return np.zeros(len(boxes), dtype=np.intp), np.zeros(len(boxes))
    table = overlaps(boxes, others)
    match = table.argmax(axis=1)
    return match, table[np.arange(len(boxes)), match]


def _falls_into(boxes: BoxArray, others: BoxArray, share: float) -> NDArray[np.bool_]:
    """Return which boxes overlap one of the others, or have their centre in the central `share` of one."""
    if not len(others):
        return np.zeros(len(boxes), dtype=bool)
    half: BoxArray = (others[:, 2:] - others[:, :2]) / 2 * share
    offset: BoxArray = np.abs(centres(boxes)[:, None] - centres(others)[None])
    is_central: NDArray[np.bool_] = np.logical_and.reduce(offset <= half[None], axis=2)
    falls: NDArray[np.bool_] = np.logical_or.reduce(is_central, axis=1)
    falls |= _best_match(boxes, others)[1] >= REGION_OVERLAP
    return falls
