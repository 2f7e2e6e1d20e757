"""Boxes as arrays: `[x1, y1, x2, y2]` on a slice, `[x1, y1, z1, x2, y2, z2]` in a volume.

Coordinates are voxel edges of the series in the canonical frame and half-open: voxel i covers [i, i + 1), so
size = high - low. The inclusive pixels of older code (size = high - low + 1) exist only at `from_inclusive` and
`to_inclusive`. All functions work for both dimensions; boxes are (n, 4) or (n, 6) floating arrays.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import BoxError

FloatArray = NDArray[np.floating]

_NMS_BLOCK = 64
"""Boxes that suppress others at a time: enough to keep numpy busy, few enough to leave most others out early."""


class Overlap(StrEnum):
    """How much two boxes overlap, as a share of one measure."""

    IOU = "IoU"
    """Intersection over union."""
    IOBB = "IoBB"
    """Intersection over the detected box (the first argument)."""
    IOGT = "IoGT"
    """Intersection over the ground-truth box (the second argument)."""
    IOBBGT = "IoBBGT"
    """The larger of `IOBB` and `IOGT`."""


def as_boxes(values: object, dimensions: int) -> NDArray[np.float64]:
    """Return `values` as a checked float64 array of boxes, (n, 2 * dimensions).

    Raises
    ------
    BoxError
        If the shape is wrong, a number is not finite, or a high edge lies below its low edge.
    """
    boxes = np.asarray(values, dtype=np.float64)
    if boxes.size == 0:
        boxes = boxes.reshape(0, 2 * dimensions)
    if boxes.ndim != 2 or boxes.shape[1] != 2 * dimensions:
        raise BoxError(
            f"Boxes have shape {boxes.shape}", f"(n, {2 * dimensions}) is needed", "Check the column order of the file"
        )
    wrong = ~np.isfinite(boxes).all(axis=1) | (boxes[:, dimensions:] < boxes[:, :dimensions]).any(axis=1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise BoxError(
            f"Box {row} is {boxes[row].tolist()}", "Finite numbers with low <= high are needed", "Correct the row"
        )
    return boxes


def sizes(boxes: FloatArray) -> NDArray[np.float64]:
    """Return the area or volume of every box, (n,)."""
    dimensions = boxes.shape[1] // 2
    extent = np.maximum(boxes[:, dimensions:].astype(np.float64) - boxes[:, :dimensions], 0)
    measures: NDArray[np.float64] = extent[:, 0] * extent[:, 1]  # faster than a product along an axis of two or three
    for axis in range(2, dimensions):
        measures = measures * extent[:, axis]
    return measures


def centres(boxes: FloatArray) -> NDArray[np.float64]:
    """Return the centre of every box, (n, dimensions)."""
    dimensions = boxes.shape[1] // 2
    return (boxes[:, :dimensions].astype(np.float64) + boxes[:, dimensions:]) / 2


def intersections(boxes: FloatArray, others: FloatArray) -> NDArray[np.float64]:
    """Return the shared area or volume of every pair, (n, m)."""
    dimensions = boxes.shape[1] // 2
    own, other = (np.ascontiguousarray(values.T, dtype=np.float64) for values in (boxes, others))
    shared: NDArray[np.float64] | None = None
    for axis in range(dimensions):
        side = np.minimum(own[axis + dimensions][:, None], other[axis + dimensions])
        side -= np.maximum(own[axis][:, None], other[axis])
        np.maximum(side, 0, out=side)
        shared = side if shared is None else np.multiply(shared, side, out=shared)
    return np.ones((len(boxes), len(others))) if shared is None else shared


def overlaps(boxes: FloatArray, others: FloatArray, overlap: Overlap = Overlap.IOU) -> NDArray[np.float64]:
    """Return the overlap of every pair in [0, 1], (n, m); 0 where the measure is empty.

    `boxes` are the detected ones, `others` the ground truth, which matters for every measure but IoU.
    """
    shared = intersections(boxes, others)
    own, other = sizes(boxes)[:, None], sizes(others)[None, :]
    if overlap is Overlap.IOU:
        return _share(shared, own + other - shared)
    if overlap is Overlap.IOBB:
        return _share(shared, own)
    if overlap is Overlap.IOGT:
        return _share(shared, other)
    return np.maximum(_share(shared, own), _share(shared, other))


def non_maximum_suppression(boxes: FloatArray, scores: FloatArray, threshold: float) -> NDArray[np.intp]:
    """Return the indices of the boxes that survive, best first.

    A box is suppressed when its IoU with a better surviving box is greater than `threshold`. Equal scores are ranked by
    index, so the result does not depend on the sorting algorithm.
    """
    remaining = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    kept, axes = [remaining[:0]], _most_selective_first(boxes)
    while remaining.size:
        block, remaining = remaining[:_NMS_BLOCK], remaining[_NMS_BLOCK:]
        better, worse = _suppressions(boxes[block], boxes[block], axes, threshold)
        is_kept = np.ones(len(block), dtype=np.bool_)
        for i, j in zip(better.tolist(), worse.tolist(), strict=True):  # ordered by the better one
            if i < j and is_kept[i]:
                is_kept[j] = False
        survivors = block[is_kept]
        kept.append(survivors)
        is_free = np.ones(len(remaining), dtype=np.bool_)
        is_free[_suppressions(boxes[survivors], boxes[remaining], axes, threshold)[1]] = False
        remaining = remaining[is_free]
    return np.concatenate(kept)


def clip(boxes: FloatArray, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the boxes cut at the borders of an array of `shape` (y, x) or (z, y, x)."""
    limits = np.asarray(shape[::-1], dtype=np.float64)
    return np.clip(boxes, 0, np.concatenate([limits, limits]))


def touch(boxes: FloatArray, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which boxes have a part inside an array of `shape` (y, x) or (z, y, x), (n,)."""
    inside = clip(boxes, shape)
    dimensions = len(shape)
    axes_inside = np.count_nonzero(inside[:, dimensions:] > inside[:, :dimensions], axis=1)
    touching: NDArray[np.bool_] = axes_inside == dimensions
    return touching


def pad_in_plane(boxes: FloatArray, margin: float) -> NDArray[np.float64]:
    """Return the boxes grown by `margin` voxels on every in-plane side (algorithms 1.9); z is left alone."""
    dimensions = boxes.shape[1] // 2
    grown = np.array(boxes, dtype=np.float64)
    grown[:, :2] -= margin
    grown[:, dimensions : dimensions + 2] += margin
    return grown


def from_inclusive(boxes: FloatArray) -> NDArray[np.float64]:
    """Return boxes whose ends are inclusive pixel indices as half-open voxel edges."""
    edges = np.array(boxes, dtype=np.float64)
    edges[:, boxes.shape[1] // 2 :] += 1
    return edges


def to_inclusive(boxes: FloatArray) -> NDArray[np.float64]:
    """Return half-open voxel edges as inclusive pixel indices, rounded outwards so that nothing is cut off."""
    dimensions = boxes.shape[1] // 2
    # Single-precision noise around whole edges must not grow a box by a pixel.
    low = np.floor(np.round(boxes[:, :dimensions].astype(np.float64), 3))
    high = np.ceil(np.round(boxes[:, dimensions:].astype(np.float64), 3)) - 1
    return np.concatenate([low, np.maximum(high, low)], axis=1)


def _suppressions(
    boxes: FloatArray, others: FloatArray, axes: list[int], threshold: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs (i, j), ordered by i, whose IoU is greater than `threshold`.

    Of many boxes most pairs lie apart along one of the axes, which are compared in turn; only what is left is measured.
    """
    dimensions = boxes.shape[1] // 2
    own, other = (np.ascontiguousarray(values.T, dtype=np.float64) for values in (boxes, others))
    own_low, own_high, low, high = own[:dimensions], own[dimensions:], other[:dimensions], other[dimensions:]
    first, *further = axes
    i, j = np.nonzero((own_low[first][:, None] < high[first]) & (own_high[first][:, None] > low[first]))
    for axis in further:
        touches = (own_low[axis][i] < high[axis][j]) & (own_high[axis][i] > low[axis][j])
        i, j = i[touches], j[touches]
    shared = np.prod(np.minimum(own_high[:, i], high[:, j]) - np.maximum(own_low[:, i], low[:, j]), axis=0)
    is_suppressed = shared / (sizes(boxes)[i] + sizes(others)[j] - shared) > threshold
    return i[is_suppressed], j[is_suppressed]


def _most_selective_first(boxes: FloatArray) -> list[int]:
    """Return the axes, first the one along which the boxes are smallest relative to the space they take together."""
    dimensions = boxes.shape[1] // 2
    if len(boxes) == 0:
        return list(range(dimensions))
    low, high = boxes[:, :dimensions], boxes[:, dimensions:]
    space = np.maximum(high.max(axis=0) - low.min(axis=0), np.finfo(np.float32).tiny)
    axes: list[int] = np.argsort((high - low).mean(axis=0) / space).tolist()
    return axes


def _share(shared: NDArray[np.float64], measure: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return shared / measure; nothing is shared where the measure is 0, and any divisor gives 0."""
    share: NDArray[np.float64] = shared / np.maximum(measure, np.finfo(np.float64).tiny)
    return share
