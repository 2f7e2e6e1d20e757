"""RECIST axes out of lengths: which length lies on a lesion, and which of two is the long axis.

Lengths are in millimetres from the middle of the first voxel of a slice, axes are voxel edges.
"""

from collections.abc import Sequence
from dataclasses import replace

from lens_engine.findings import RecistAxes, Segment2D, SliceBox
from lens_napari.editing.ruler import PointMm, Ruler
from lens_napari.review.saying.axes_wording import length_mm
from lens_napari.viewer.voxel_frame import VOXEL_CENTRE


def lies_on(ruler: Ruler, slices: Sequence[SliceBox], spacing_mm: PointMm) -> bool:
    """Return whether a length is one of a lesion: its middle lies in the cross-section of its slice."""
    x1, y1, x2, y2 = _segment(ruler, spacing_mm)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    sections = (one.box for one in slices if one.slice_index == ruler.slice_index)
    return any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in sections)


def with_length(axes: RecistAxes | None, ruler: Ruler, spacing_mm: PointMm) -> RecistAxes:
    """Return axes with one more length: the longer of two on a slice is the long axis.

    A third one, and one on another slice, begin anew.
    """
    segment = _segment(ruler, spacing_mm)
    if axes is None or axes.short_axis is not None or axes.slice_index != ruler.slice_index:
        return RecistAxes(ruler.slice_index, segment)
    if ruler.length_mm > length_mm(axes.long_axis, spacing_mm):
        return RecistAxes(ruler.slice_index, segment, axes.long_axis)
    return replace(axes, short_axis=segment)


def rulers_of(axes: RecistAxes, spacing_mm: PointMm) -> tuple[Ruler, ...]:
    """Return axes as lengths, the long one first."""
    sy, sx = spacing_mm
    segments = filter(None, (axes.long_axis, axes.short_axis))
    return tuple(
        Ruler(
            axes.slice_index,
            ((y1 - VOXEL_CENTRE) * sy, (x1 - VOXEL_CENTRE) * sx),
            ((y2 - VOXEL_CENTRE) * sy, (x2 - VOXEL_CENTRE) * sx),
        )
        for x1, y1, x2, y2 in segments
    )


def _segment(ruler: Ruler, spacing_mm: PointMm) -> Segment2D:
    (y1, x1), (y2, x2), (sy, sx) = ruler.start_mm, ruler.end_mm, spacing_mm
    return x1 / sx + VOXEL_CENTRE, y1 / sy + VOXEL_CENTRE, x2 / sx + VOXEL_CENTRE, y2 / sy + VOXEL_CENTRE
