"""Which grid slice shows which slice of a series, and the annotations of the series as labels."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import FloatArray
from lens_engine.findings import Scope, SliceBox
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.strategies.labels import LabelRule, MinedLabel, Teaching
from lens_engine.stacking import nearest_grid_index


def mined_series(inputs: Iterable[SeriesMiningInput]) -> tuple[SeriesMiningInput, ...]:
    """Return the series that are mined: those of complete data sets lack nothing."""
    return tuple(series for series in inputs if series.scope is Scope.UNIVERSAL)


@dataclass(frozen=True, slots=True)
class SeriesSlices:
    """Every slice of a series is shown by its nearest grid slice; between thick slices a grid slice shows none.

    Attributes
    ----------
    grid_of_slice
        The grid slice of each slice of the series.
    """

    grid_of_slice: tuple[int, ...]

    @classmethod
    def of(cls, series: SeriesMiningInput) -> "SeriesSlices":
        """Return the slices of a series."""
        grid_mm, slice_mm = series.proposals.grid_spacing_mm, series.proposals.slice_spacing_mm
        return cls(tuple(nearest_grid_index(index, grid_mm, slice_mm) for index in range(series.slices)))

    def shown_by(self) -> dict[int, tuple[int, ...]]:
        """Return the slices that each grid slice shows, where there are any, both ascending."""
        shown: dict[int, list[int]] = {}
        for index, grid_index in enumerate(self.grid_of_slice):
            shown.setdefault(grid_index, []).append(index)
        return {grid_index: tuple(indices) for grid_index, indices in shown.items()}


def annotation_labels(series: SeriesMiningInput) -> list[MinedLabel]:
    """Return the annotations as positive labels, each a lesion of its own, cut where the series ends."""
    return [
        MinedLabel(
            LabelRule.ANNOTATION,
            Teaching.POSITIVE,
            tuple(section for section in note.cross_sections() if 0 <= section.slice_index < series.slices),
            lesion,
            (note.id,),
        )
        for lesion, note in enumerate(series.annotations)
    ]


def boxes_on_slices(labels: Iterable[MinedLabel]) -> dict[int, NDArray[np.float64]]:
    """Return the boxes (n, 4) of labels on each slice that has any."""
    boxes: dict[int, list[tuple[float, float, float, float]]] = {}
    for label in labels:
        for section in label.slices:
            boxes.setdefault(section.slice_index, []).append(section.box)
    return {index: np.asarray(rows, dtype=np.float64) for index, rows in boxes.items()}


def further_lesions(labels: Iterable[MinedLabel]) -> "count[int]":
    """Return lesion numbers that none of `labels` has."""
    return count(max((label.lesion for label in labels), default=-1) + 1)


def section(slice_index: int, box: FloatArray, score: float) -> SliceBox:
    """Return a detected box on a slice."""
    x1, y1, x2, y2 = (float(value) for value in box)
    return SliceBox(slice_index, (x1, y1, x2, y2), float(score))
