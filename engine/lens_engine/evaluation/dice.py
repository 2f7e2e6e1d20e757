"""Dice of what is marked as lesion, for the data sets that come with masks (spec 9.5)."""

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import FloatArray
from lens_engine.errors import BoxError

DICE_SCORE = 0.5
"""Findings from this score on are pasted."""


def pasted(boxes: FloatArray, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Return the union of 3D boxes as a mask `[z, y, x]`: the voxels whose centre lies in a box."""
    mask = np.zeros(shape, dtype=np.bool_)
    limits = np.asarray([shape[2], shape[1], shape[0]])
    for box in boxes:
        low = np.clip(np.ceil(box[:3] - 0.5), 0, limits).astype(int)
        high = np.clip(np.ceil(box[3:] - 0.5), 0, limits).astype(int)
        mask[low[2] : high[2], low[1] : high[1], low[0] : high[0]] = True
    return mask


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return twice the shared voxels over the sum of both; NaN where both masks are empty.

    Raises
    ------
    BoxError
        If the masks have different shapes.
    """
    if found.shape != truth.shape:
        raise BoxError(
            f"The masks have shapes {found.shape} and {truth.shape}",
            "Both must cover the same volume",
            "Paste the findings into the shape of the truth",
        )
    total = int(np.count_nonzero(found)) + int(np.count_nonzero(truth))
    return 2 * int(np.count_nonzero(found & truth)) / total if total else float("nan")
