"""Predictions and truths to measure, hand-made, drawn and random, for the tests of FROC curves and their protocols."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from lens_engine.boxes import Overlap, from_inclusive

Boxes = NDArray[np.float64]
Volumes = Mapping[str, Boxes]


def box(x: float, side: float = 10, score: float | None = None) -> list[float]:
    return [x, 0, 0, x + side, side, side] + ([] if score is None else [score])


def volumes(**rows: Any) -> dict[str, Boxes]:
    return {name: np.asarray(values, dtype=np.float64) for name, values in rows.items()}


@st.composite
def inclusive_boxes(draw: st.DrawFn, largest: int) -> Boxes:
    """Integer boxes with inclusive ends in a space small enough that many overlap."""
    count = draw(st.integers(0, largest))
    triples = st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=count, max_size=count)
    low, extent = (np.asarray(draw(triples), dtype=np.float64).reshape(-1, 3) for _ in range(2))
    return np.column_stack([low, low + extent])


@st.composite
def evaluations(draw: st.DrawFn, distinct_scores: bool = False) -> tuple[Volumes, Volumes]:
    """Predictions (inclusive, with scores) and truths of a few volumes; some are empty, some scores are equal."""
    truths = {f"v{i}": draw(inclusive_boxes(4)) for i in range(draw(st.integers(1, 4)))}
    predictions = {}
    for index, name in enumerate(truths):
        boxes = draw(inclusive_boxes(5))
        tenths = st.lists(st.integers(0, 9), min_size=len(boxes), max_size=len(boxes), unique=distinct_scores)
        scores = np.asarray(draw(tenths), dtype=np.float64) / 10 + (0.001 * index if distinct_scores else 0)
        predictions[name] = np.column_stack([boxes, scores])
    return predictions, truths


def half_open(volumes: Volumes) -> dict[str, Boxes]:
    return {name: np.column_stack([from_inclusive(rows[:, :6]), rows[:, 6:]]) for name, rows in volumes.items()}


def random_evaluation(volume_count: int, predictions_each: int, quality: float, seed: int) -> tuple[Volumes, Volumes]:
    generator = np.random.default_rng(seed)
    truths, predictions = {}, {}
    for index in range(volume_count):
        low = np.random.default_rng(1000 + index).uniform(0, 400, (4, 3))
        truths[f"v{index}"] = np.column_stack([low, low + 20])
        noise = generator.uniform(0, 400, (predictions_each, 3))
        wrong = np.column_stack([noise, noise + 20, generator.uniform(0, 0.8, predictions_each)])
        seen = truths[f"v{index}"][generator.random(4) < quality]
        right = np.column_stack([seen, generator.uniform(0.4, 1, len(seen))])
        predictions[f"v{index}"] = np.concatenate([wrong, right])
    return predictions, truths


def literal_froc(
    predictions: Volumes, truths: Volumes, overlap: Overlap, threshold: float = 0.3
) -> tuple[list[float], list[float]]:
    """Read the published rules one by one: inclusive boxes, one prediction at a time, nothing vectorised."""
    pooled = [(name, row) for name in truths for row in predictions.get(name, [])]
    ascending = sorted(range(len(pooled)), key=lambda i: pooled[i][1][6])
    hit_before: set[tuple[str, int]] = set()
    lesions = sum(len(boxes) for boxes in truths.values())
    false_positives, rates, sensitivities = 0, [], []
    for i in reversed(ascending):
        name, row = pooled[i]
        shares = [literal_overlap(row, truth, overlap) for truth in truths[name]]
        if not shares or any(np.isnan(share) for share in shares) or max(shares) < threshold:
            false_positives += 1
        else:
            hit_before |= {(name, g) for g, share in enumerate(shares) if share >= threshold}
        rates.append(false_positives / len(truths))
        sensitivities.append(len(hit_before) / lesions if lesions else float("nan"))
    return rates, sensitivities


def literal_overlap(found: Boxes, truth: Boxes, overlap: Overlap) -> float:
    shared = own = other = 1.0
    for axis in range(3):
        shared *= max(0.0, min(found[axis + 3], truth[axis + 3]) - max(found[axis], truth[axis]) + 1)
        own *= found[axis + 3] - found[axis] + 1
        other *= truth[axis + 3] - truth[axis] + 1
    if np.isnan(found[:6]).any():
        return float("nan")
    shares = {Overlap.IOBB: shared / own, Overlap.IOGT: shared / other, Overlap.IOU: shared / (own + other - shared)}
    return max(shares[Overlap.IOBB], shares[Overlap.IOGT]) if overlap is Overlap.IOBBGT else shares[overlap]
