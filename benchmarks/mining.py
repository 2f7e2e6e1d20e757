"""Mining: how the time per slice grows with the number of slices."""

from collections.abc import Callable

import numpy as np

from benchmarks.measure import Growth, compare
from lens_engine.findings import FUSED, SliceBox
from lens_engine.mining.calibration import CalibratedLimit
from lens_engine.mining.candidates import mine
from lens_engine.mining.inputs import AnnotationOnSeries, SeriesMiningInput
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.tracklets import build_tracklets
from lens_engine.proposals import Proposals

SHORT, LONG = 100, 1000
EXPERTS = ("universal", "lung", "liver", FUSED)
BOXES = 12
"""Boxes of each expert on a slice."""
LESION_SLICES = 6


def growth() -> list[Growth]:
    """Return the rows of linking alone and of all rules."""
    settings, limit = MiningSettings(), CalibratedLimit(0.15, 0, False, "")
    series = {slices: _series(slices) for slices in (SHORT, LONG)}
    return [
        _growth("tracklets", lambda slices: build_tracklets(series[slices].proposals, settings)),
        _growth("candidates", lambda slices: mine([series[slices]], settings, limit)),
    ]


def _growth(name: str, run: Callable[[int], object]) -> Growth:
    row = compare(name, "", lambda: run(SHORT), lambda: run(LONG)).per_piece(SHORT, LONG)
    costs = row.baseline_seconds * 1e3, row.ours_seconds * 1e3
    return Growth(f"time per slice, mining, {name}", f"{SHORT} slices", costs[0], f"{LONG} slices", costs[1], "ms", 1.5)


def _series(slices: int) -> SeriesMiningInput:
    """Return a series whose lesions, some marked, are seen on a few slices each and drift a little."""
    generator = np.random.default_rng(0)
    grid = np.repeat(np.arange(slices), BOXES)
    lesion = grid // LESION_SLICES * BOXES + np.tile(np.arange(BOXES), slices)
    corners = generator.uniform(0, 480, (lesion.max() + 1, 2))[lesion] + generator.normal(0, 0.5, (len(lesion), 2))
    boxes = np.concatenate([corners, corners + 20], axis=1).astype(np.float32)
    looks = generator.normal(size=(len(grid), 16))
    proposals = Proposals(
        EXPERTS,
        2.0,
        2.0,
        np.repeat(np.arange(len(EXPERTS)), len(grid)).astype(np.int16),
        np.tile(grid, len(EXPERTS)).astype(np.int32),
        np.tile(boxes, (len(EXPERTS), 1)),
        generator.uniform(0, 0.6, len(EXPERTS) * len(grid)).astype(np.float32),
        (looks / np.linalg.norm(looks, axis=1, keepdims=True)).astype(np.float32),
    )
    marks = tuple(_mark(row, int(grid[row]), boxes[row]) for row in range(0, len(grid), 50 * BOXES))
    return SeriesMiningInput(1, 1, 1, slices, proposals, annotations=marks)


def _mark(number: int, slice_index: int, box: np.ndarray) -> AnnotationOnSeries:
    x1, y1, x2, y2 = (float(value) for value in box)
    whole = (x1, y1, float(slice_index), x2, y2, float(slice_index + 1))
    return AnnotationOnSeries(number, whole, (SliceBox(slice_index, (x1, y1, x2, y2)),), slice_index)
