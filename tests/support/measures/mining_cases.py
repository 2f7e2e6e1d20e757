"""Small series for the mining tests, written down box by box: 2 mm grid, square boxes, embeddings as angles."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.findings import FUSED, Scope, SliceBox
from lens_engine.mining.inputs import AnnotationOnSeries, SeriesMiningInput
from lens_engine.mining.strategies.labels import MinedLabel
from lens_engine.proposals import Proposals
from lens_engine.stacking import stack

EXPERTS = ("universal", "lung", "liver", FUSED)


@dataclass(frozen=True)
class Seen:
    """A lesion as experts see it: a square of `side` at (x, 50) on some grid slices, with a score for each expert."""

    x: float
    grid: range
    scores: dict[str, float]
    look: float | None = None
    side: float = 20


def look_alike(degrees: float | None, length: int = 2) -> NDArray[np.float32]:
    """Return a unit vector at an angle; two at d degrees lie 2 sin(d / 2) apart (0.15 is 8.6 degrees)."""
    if degrees is None:
        return np.zeros(length, dtype=np.float32)
    return np.asarray([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))], dtype=np.float32)


def annotation(
    number: int, x: float, slice_index: int, look: float | None = None, side: float = 20
) -> AnnotationOnSeries:
    """Return a lesion marked on one slice."""
    box = (x, 50.0, x + side, 50.0 + side)
    return AnnotationOnSeries(
        id=number,
        box=(x, 50.0, float(slice_index), x + side, 50.0 + side, float(slice_index + 1)),
        slices=(SliceBox(slice_index, box),),
        key_slice=slice_index,
        embedding=None if look is None else look_alike(look),
    )


def proposals(lesions: list[Seen], slice_mm: float = 2.0) -> Proposals:
    """Return the boxes of every expert, and as their fusion the best one of each lesion on each slice."""
    rows: list[tuple[int, int, tuple[float, float, float, float], float, float | None]] = []
    for lesion in lesions:
        box = (lesion.x, 50.0, lesion.x + lesion.side, 50.0 + lesion.side)
        for grid_index in lesion.grid:
            rows += [(EXPERTS.index(name), grid_index, box, score, None) for name, score in lesion.scores.items()]
            rows.append((EXPERTS.index(FUSED), grid_index, box, max(lesion.scores.values()), lesion.look))
    rows.sort(key=lambda row: (row[0], row[1]))
    return Proposals(
        EXPERTS,
        2.0,
        slice_mm,
        np.asarray([row[0] for row in rows], dtype=np.int16),
        np.asarray([row[1] for row in rows], dtype=np.int32),
        np.asarray([row[2] for row in rows], dtype=np.float32).reshape(-1, 4),
        np.asarray([row[3] for row in rows], dtype=np.float32),
        np.asarray([look_alike(row[4]) for row in rows if row[0] == len(EXPERTS) - 1], dtype=np.float32).reshape(-1, 2),
    )


def series(
    lesions: list[Seen],
    annotations: tuple[AnnotationOnSeries, ...] = (),
    number: int = 1,
    patient: int = 1,
    scope: Scope = Scope.UNIVERSAL,
    slice_mm: float = 2.0,
) -> SeriesMiningInput:
    """Return one series of 60 slices, with the findings that detection stacks from its boxes."""
    boxes = proposals(lesions, slice_mm)
    return SeriesMiningInput(
        series_id=number,
        patient_id=patient,
        study_id=number,
        slices=60,
        proposals=boxes,
        findings=tuple(finding for expert in EXPERTS for finding in stack(boxes, expert, 60)),
        annotations=annotations,
        scope=scope,
    )


def drawn(labels: Iterable[MinedLabel]) -> list[tuple[str, float, list[int]]]:
    """Return each label as (rule, x, slices), the way cases write it."""
    return [
        (label.rule.value, round(label.slices[0].box[0], 3), [section.slice_index for section in label.slices])
        for label in labels
    ]
