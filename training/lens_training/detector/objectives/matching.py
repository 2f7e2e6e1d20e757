"""How candidate boxes lie to labelled ones, for the objectives that learn from boxes instead of cells."""

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import centres, overlaps
from lens_training.datasets.labels import BoxArray


def best_match(boxes: BoxArray, others: BoxArray) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return for each box which of the others overlaps it most, and the IoU; (0, 0.0) where there is no other."""
    if not len(others):
        return np.zeros(len(boxes), dtype=np.intp), np.zeros(len(boxes))
    table = overlaps(boxes, others)
    match = table.argmax(axis=1)
    return match, table[np.arange(len(boxes)), match]


def centred_in(boxes: BoxArray, others: BoxArray, share: float) -> NDArray[np.bool_]:
    """Return which boxes have their centre in the central `share` of one of the others."""
    if not len(others):
        return np.zeros(len(boxes), dtype=bool)
    half: BoxArray = (others[:, 2:] - others[:, :2]) / 2 * share
    offset: BoxArray = np.abs(centres(boxes)[:, None] - centres(others)[None])
    is_central: NDArray[np.bool_] = np.logical_and.reduce(offset <= half[None], axis=2)
    result: NDArray[np.bool_] = np.logical_or.reduce(is_central, axis=1)
    return result
