"""What readers said of accepted lesions beside their boxes, in the conventions of an exported test set."""

from collections.abc import Iterable

import numpy as np

from lens_engine.boxes import clip
from lens_engine.findings import Segment2D
from lens_engine.io.annotations.manual_test_set import LesionRemark, rows_from_boxes
from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.decisions import DecisionRecord

PIXEL_MIDDLE = 0.5
"""Voxel i covers the edges [i, i + 1); its index is that of its middle."""


def remarks_of(
    series: SeriesRecord, lesions: Iterable[DecisionRecord], first_slice_number: int
) -> tuple[LesionRemark, ...]:
    """Return the remark on each lesion of a series that has words or axes; slice index 0 has the given number."""
    said = (record for record in lesions if record.comment or record.axes)
    return tuple(_remark(series, record, first_slice_number) for record in said)


def _remark(series: SeriesRecord, record: DecisionRecord, first_slice_number: int) -> LesionRemark:
    axes, boxes = record.axes, np.asarray([record.box])
    inside = boxes if series.geometry is None else clip(boxes, series.geometry.shape)
    rows = rows_from_boxes(inside, first_slice_number)
    return LesionRemark(
        box=tuple(rows[0].astype(int).tolist()),
        reader=record.reader,
        comment=record.comment,
        axes_slice=None if axes is None else axes.slice_index + first_slice_number,
        long_axis=None if axes is None else _in_pixels(axes.long_axis),
        short_axis=None if axes is None or axes.short_axis is None else _in_pixels(axes.short_axis),
    )


def _in_pixels(segment: Segment2D) -> Segment2D:
    x1, y1, x2, y2 = (round(edge - PIXEL_MIDDLE, 2) for edge in segment)
    return x1, y1, x2, y2
