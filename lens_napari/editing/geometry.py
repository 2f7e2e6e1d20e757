"""What a drag and an extent key make of a box: pure functions, no Qt and no napari.

Boxes and points are voxel edges of one slice, x before y; a slice has the size (height, width).
"""

from collections.abc import Sequence
from enum import Enum

from lens_engine.findings import Box2D, SliceBox

LEAST_SIDE = 1.0
"""No side of a box is shorter, in voxels."""
LEAST_INSIDE = 0.25
"""Of a side that its handles leave free at each end at least, so that a small box can be moved."""

Point = tuple[float, float]
Size = tuple[int, int]


class Handle(Enum):
    """Where a box is taken: which edge moves along x, and which along y; -1 the lower one, 1 the upper one."""

    UPPER_LEFT = (-1, -1)
    UPPER = (0, -1)
    UPPER_RIGHT = (1, -1)
    RIGHT = (1, 0)
    LOWER_RIGHT = (1, 1)
    LOWER = (0, 1)
    LOWER_LEFT = (-1, 1)
    LEFT = (-1, 0)
    INSIDE = (0, 0)
    """The whole box moves."""


def handle_at(box: Box2D, point: Point, reach: Point) -> Handle | None:
    """Return where a point takes a box, None where it lies outside; `reach` is that of an edge along x and y."""
    x1, y1, x2, y2 = box
    along_x, along_y = _edge_at(x1, x2, point[0], reach[0]), _edge_at(y1, y2, point[1], reach[1])
    return None if along_x is None or along_y is None else Handle((along_x, along_y))


def handle_points(box: Box2D) -> tuple[Point, ...]:
    """Return the middles of the eight handles of a box."""
    x1, y1, x2, y2 = box
    xs, ys = (x1, (x1 + x2) / 2, x2), (y1, (y1 + y2) / 2, y2)
    return tuple((xs[dx + 1], ys[dy + 1]) for dx, dy in (one.value for one in Handle if one is not Handle.INSIDE))


def dragged(box: Box2D, handle: Handle, by: Point, size: Size) -> Box2D:
    """Return a box that was taken at a handle: inside the slice, no side shorter than a voxel."""
    along_x, along_y = handle.value
    height, width = size
    x1, y1, x2, y2 = fitted(box, size)
    if handle is Handle.INSIDE:
        right, down = _clipped(by[0], -x1, width - x2), _clipped(by[1], -y1, height - y2)
        return x1 + right, y1 + down, x2 + right, y2 + down
    x1, x2 = _moved_edge(x1, x2, along_x, by[0], width)
    y1, y2 = _moved_edge(y1, y2, along_y, by[1], height)
    return x1, y1, x2, y2


def spanned(start: Point, end: Point, size: Size) -> Box2D:
    """Return what of the box between two points lies inside the slice; it may be smaller than a voxel."""
    height, width = size
    xs = sorted(_clipped(x, 0.0, width) for x in (start[0], end[0]))
    ys = sorted(_clipped(y, 0.0, height) for y in (start[1], end[1]))
    return xs[0], ys[0], xs[1], ys[1]


def is_too_small(box: Box2D) -> bool:
    """Return whether a side of a box is shorter than a voxel."""
    return box[2] - box[0] < LEAST_SIDE or box[3] - box[1] < LEAST_SIDE


def is_inside(point: Point, size: Size) -> bool:
    """Return whether a point lies in the slice."""
    return 0 <= point[0] <= size[1] and 0 <= point[1] <= size[0]


def fitted(box: Box2D, size: Size) -> Box2D:
    """Return a box inside the slice, no side shorter than a voxel, and otherwise as it was."""
    height, width = size
    x1, y1, x2, y2 = box
    return (
        _clipped(x1, 0.0, width - LEAST_SIDE),
        _clipped(y1, 0.0, height - LEAST_SIDE),
        _clipped(x2, _clipped(x1, 0.0, width - LEAST_SIDE) + LEAST_SIDE, width),
        _clipped(y2, _clipped(y1, 0.0, height - LEAST_SIDE) + LEAST_SIDE, height),
    )


def with_section(slices: Sequence[SliceBox], slice_index: int, box: Box2D) -> tuple[SliceBox, ...]:
    """Return cross-sections with another one on one slice; the others stay."""
    others = [one for one in slices if one.slice_index != slice_index]
    return tuple(sorted([*others, SliceBox(slice_index, box)], key=lambda one: one.slice_index))


def with_extent(slices: Sequence[SliceBox], first: int, last: int, depth: int) -> tuple[SliceBox, ...]:
    """Return the cross-sections from one slice to another; a slice that is new has that of the nearest old one.

    An extent that leaves no slice, or leaves the scan, ends before that.
    """
    first = min(max(first, 0), depth - 1)
    last = min(max(last, first), depth - 1)
    return tuple(_section_at(slices, index) for index in range(first, last + 1))


def _section_at(slices: Sequence[SliceBox], index: int) -> SliceBox:
    nearest = min(slices, key=lambda one: abs(one.slice_index - index))
    return nearest if nearest.slice_index == index else SliceBox(index, nearest.box)


def _edge_at(low: float, high: float, place: float, reach: float) -> int | None:
    inner = min(reach, LEAST_INSIDE * (high - low))
    if not low - reach <= place <= high + reach:
        return None
    if place <= low + inner:
        return -1
    return 1 if place >= high - inner else 0


def _moved_edge(low: float, high: float, which: int, by: float, end: float) -> tuple[float, float]:
    if which < 0:
        return _clipped(low + by, 0.0, high - LEAST_SIDE), high
    if which > 0:
        return low, _clipped(high + by, low + LEAST_SIDE, end)
    return low, high


def _clipped(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
