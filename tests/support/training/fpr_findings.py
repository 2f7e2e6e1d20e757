"""Findings of an imagined detector on the scenes, and a network small enough to learn them at once."""

from collections.abc import Sequence

from lens_engine.detector.false_positive_reduction.config import FprConfig
from lens_engine.findings import FUSED, Finding, SliceBox
from lens_engine.snapshot import LesionOrigin, LesionRole
from lens_training.datasets.case import Case, TrainingSet
from lens_training.recipes.false_positive_reduction import FprRecipe
from lens_training.running.schedule import ScheduleRecipe
from support.training.training_scenes import (
    BALLS,
    TINY,
    Ball,
    case_of,
    key_slice_lesion,
    lesion_of,
    set_of,
    volume_with,
)

CONFIG = FprConfig(
    pixel_mm=TINY.pixel_mm,
    grid_mm=TINY.grid_mm,
    max_side=TINY.max_side,
    patch=(4, 32, 32),
    blocks=(1, 1, 1, 1),
    widths=(6, 8, 10, 12),
    fc_width=8,
)

RECIPE = FprRecipe(
    epochs=2,
    schedule=ScheduleRecipe(learning_rate=2e-3),
    batch_size=4,
    negatives_per_positive=1.0,
    log_every=1,
    checkpoint_every=2,
)

DARK = Ball(50, 12, 6, 12)
"""Where nothing is."""
REJECTED = Ball(12, 50, 6, 10)


def scans() -> TrainingSet:
    """Make four universal scans with a ball each, one with a rejected place, and a single-type scan."""
    cases = [
        case_of("universal", key_slice_lesion(ball), volume=volume_with(ball, seed=number))
        for number, ball in enumerate(BALLS.values())
    ]
    decision = lesion_of(REJECTED, LesionRole.NEGATIVE, origin=LesionOrigin.DECISION, experts=("universal",))
    cases[0] = case_of("universal", *cases[0].lesions, decision, volume=cases[0].load())
    return set_of(*cases, case_of("lung"))


def found(case: Case) -> Sequence[Finding]:
    """Find the ball of the case, something near it, and two dark places."""
    ball = next(ball for ball in BALLS.values() if key_slice_lesion(ball) == case.lesions[0])
    dark = [finding_of(DARK), finding_of(DARK, first=1, last=2)]
    return [finding_of(ball), finding_of(ball, 0.4), *dark]


def finding_of(ball: Ball, shift: float = 0.0, first: int | None = None, last: int | None = None) -> Finding:
    """Find the ball, moved along x by a share of its diameter, on its three labelled slices or on others."""
    half = ball.diameter / 2
    x = ball.x + shift * ball.diameter
    box = (x - half, ball.y - half, x + half, ball.y + half)
    start, end = first if first is not None else ball.z - 1, last if last is not None else ball.z + 1
    parts = tuple(SliceBox(index, box, 0.5) for index in range(start, end + 1))
    return Finding(FUSED, (box[0], box[1], start, box[2], box[3], end + 1), parts, 0.5)
