"""Which boxes lie on which grid slice, sorted once for a whole series, so that work grows with its boxes alone."""

import numpy as np
from numpy.typing import NDArray

NO_ROWS: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
"""The rows of a slice without boxes."""


def rows_by_slice(grid_index: NDArray[np.integer]) -> dict[int, NDArray[np.intp]]:
    """Return the rows on each grid slice that has any, the slices and the rows of each ascending."""
    if len(grid_index) == 0:
        return {}
    order = np.argsort(grid_index, kind="stable")
    slices, starts = np.unique(grid_index[order], return_index=True)
    return dict(zip(slices.tolist(), np.split(order, starts[1:]), strict=True))
