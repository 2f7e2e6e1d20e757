"""RECIST marks: the longest diameter of a cross-section and the longest one at right angles to it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RecistMarks:
    """The two diameters that a reader would draw on one slice.

    Attributes
    ----------
    ends
        Their ends x11, y11, x12, y12, x21, y21, x22, y22 as 0-based pixel centres, the long diameter first.
    long_pixels
        The length of the long diameter.
    """

    ends: tuple[float, float, float, float, float, float, float, float]
    long_pixels: float


def measure(mask: NDArray[np.bool_]) -> RecistMarks:
    """Measure a non-empty cross-section `[y, x]` of pixels; ends reach the outer edges of the outermost pixels."""
    rows, columns = np.nonzero(mask)
    border = _border(rows, columns)
    gaps = np.linalg.norm(border[:, None] - border[None], axis=2)
    first, second = np.unravel_index(int(np.argmax(gaps)), gaps.shape)
    start, end = border[first], border[second]
    length = float(gaps[first, second])
    along = (end - start) / length if length > 0 else np.array([1.0, 0.0])
    across = np.array([-along[1], along[0]])
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    u, v = (points - start) @ along, (points - start) @ across
    bins = np.rint(u).astype(int)
    spans = [(v[bins == index].max() - v[bins == index].min(), index) for index in np.unique(bins)]
    middle = length / 2
    widest = max(spans, key=lambda span: (round(float(span[0]), 6), -abs(span[1] - middle)))[1]
    chosen = v[bins == widest]
    foot = start + along * float(np.clip(widest, 0, length))
    low, high = foot + across * chosen.min(), foot + across * chosen.max()
    half = 0.5
    ends = np.concatenate([start - half * along, end + half * along, low - half * across, high + half * across])
    return RecistMarks(
        tuple(float(value) for value in ends),  # type: ignore[arg-type] # eight
        length + 2 * half,
    )


def _border(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the first and last pixel of every row as (x, y): the farthest two pixels are among them."""
    order = np.lexsort((columns, rows))
    rows, columns = rows[order], columns[order]
    starts = np.flatnonzero(np.r_[True, np.diff(rows) > 0])
    ends = np.r_[starts[1:] - 1, len(rows) - 1]
    chosen = np.unique(np.concatenate([starts, ends]))
    return np.stack([columns[chosen], rows[chosen]], axis=1).astype(np.float64)
