"""Turn what a file holds into int16 Hounsfield units, and say where that looks wrong."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST_HU = -1024
"""Air; padding outside the field of view lies below it and is set to it."""
HIGHEST_HU = 32767
AIR_HU = -500
"""A CT of a patient has voxels below this: lung, bowel gas or the air around."""
WATER_HU = 0
"""... and voxels above this."""


def to_hounsfield(values: NDArray[Any]) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    """Return the rescaled values of a file as int16 HU of the same shape, with notes on whatever was changed or is odd.

    Values below -1024 (padding) and NaN become -1024, values above 32767 become 32767, fractions are rounded.
    """
    notes: list[str] = []
    if values.dtype.kind == "f":
        missing = ~np.isfinite(values)
        if missing.any():
            notes.append(f"{np.count_nonzero(missing)} voxels are not a number and were set to {LOWEST_HU} HU")
            values = np.where(missing, LOWEST_HU, values)
        values = np.rint(values)
    lowest, highest = values.min(), values.max()
    if lowest < LOWEST_HU:
        count = np.count_nonzero(values < LOWEST_HU)
        notes.append(
            f"{count} voxels below {LOWEST_HU} HU (lowest {lowest:g}) are padding and were set to {LOWEST_HU} HU"
        )
    if highest > HIGHEST_HU:
        notes.append(f"Voxels up to {highest:g} HU were cut at {HIGHEST_HU} HU")
    hounsfield = np.clip(values, LOWEST_HU, HIGHEST_HU).astype(np.int16)
    if lowest > AIR_HU or highest < WATER_HU:
        notes.append(
            f"The values ({lowest:g} to {highest:g}) do not look like the HU of a patient,"
            f" who has air below {AIR_HU} and tissue above {WATER_HU}: check the rescale slope and intercept"
        )
    return hounsfield, tuple(notes)
