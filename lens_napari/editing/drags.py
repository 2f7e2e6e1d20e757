"""What a drag with the left button does: draw a box, reshape one, or measure a length."""

from collections.abc import Callable

from lens_napari.editing.draft import Draft
from lens_napari.editing.geometry import Handle, Point, dragged, is_too_small, spanned
from lens_napari.editing.ruler import PointMm, Ruler

ToVoxel = Callable[[PointMm], Point]
"""Turns millimetres of the slice into voxel edges (x, y)."""
Follow = Callable[[Draft], None]
"""Puts a draft on screen in the place of the one before."""


class ReshapeDrag:
    """Moves a handle of a box, or the box."""

    def __init__(self, draft: Draft, slice_index: int, handle: Handle, start: Point, to_voxel: ToVoxel, follow: Follow):
        self._draft, self._slice_index, self._handle = draft, slice_index, handle
        self._start, self._to_voxel, self._follow = start, to_voxel, follow

    def to(self, point_mm: PointMm) -> None:
        """Let the box follow the pointer."""
        x, y = self._to_voxel(point_mm)
        box, by = self._draft.section(self._slice_index), (x - self._start[0], y - self._start[1])
        if box is not None:
            moved = dragged(box, self._handle, by, self._draft.size) if any(by) else box
            self._follow(self._draft if moved == box else self._draft.with_box(self._slice_index, moved))

    def end(self) -> None:
        """Leave the box as it is now."""


class DrawDrag:
    """Spans a box; one that is smaller than a voxel at the end is refused."""

    def __init__(
        self,
        draft: Draft,
        slice_index: int,
        start: Point,
        to_voxel: ToVoxel,
        follow: Follow,
        refuse: Callable[[], None],
    ):
        self._draft, self._slice_index, self._start = draft, slice_index, start
        self._to_voxel, self._follow, self._refuse = to_voxel, follow, refuse
        self._is_refused = True

    def to(self, point_mm: PointMm) -> None:
        """Let the box follow the pointer."""
        box = spanned(self._start, self._to_voxel(point_mm), self._draft.size)
        self._is_refused = is_too_small(box)
        self._follow(self._draft if self._is_refused else self._draft.with_box(self._slice_index, box))

    def end(self) -> None:
        """Leave the box as it is now."""
        if self._is_refused:
            self._refuse()


class RulerDrag:
    """Spans a length."""

    def __init__(self, slice_index: int, start_mm: PointMm, show: Callable[[Ruler], None], end: Callable[[], None]):
        self._slice_index, self._start_mm, self._show, self._end = slice_index, start_mm, show, end

    def to(self, point_mm: PointMm) -> None:
        """Let the other end follow the pointer."""
        if point_mm != self._start_mm:
            self._show(Ruler(self._slice_index, self._start_mm, point_mm))

    def end(self) -> None:
        """Leave the length on screen."""
        self._end()
