"""Gains are paired within patients and replicates; the share of the way to the ceiling is told with its interval."""

import numpy as np
import pytest

from lens_engine.boxes import Overlap
from lens_engine.findings import FUSED, Finding
from lens_training.loop.measuring import ArmMeasure, difference_of, mean_of, measure, recovered_share

PATIENTS = 30


def finding(box: tuple[float, ...], score: float) -> Finding:
    return Finding(FUSED, box, (), score)  # type: ignore[arg-type] # six numbers


def detector(found_share: float, seed: int) -> ArmMeasure:
    """Measure a detector that finds a share of one lesion of each patient, and one false positive."""
    generator = np.random.default_rng(seed)
    truth = {f"p{n}": np.asarray([[0, 0, 0, 10, 10, 4.0]]) for n in range(PATIENTS)}
    findings = {
        name: [finding((50, 50, 0, 60, 60, 4), 0.5)]
        + ([finding((0, 0, 0, 10, 10, 4), 0.9)] if generator.random() < found_share else [])
        for name in truth
    }
    return measure(findings, truth, FUSED, Overlap.IOBB)


def test_a_better_arm_gains_and_its_interval_says_so() -> None:
    before, after = [detector(0.2, n) for n in range(3)], [detector(0.9, n) for n in range(3)]
    gain = difference_of(before, after)
    assert gain.value == pytest.approx(mean_of(after).value - mean_of(before).value)
    assert 0 < gain.low <= gain.value <= gain.high


def test_an_arm_compared_with_itself_gains_nothing_at_all() -> None:
    arm = [detector(0.5, n) for n in range(3)]
    gain = difference_of(arm, arm)
    assert (gain.low, gain.value, gain.high) == (0, 0, 0)


def test_replicates_that_disagree_widen_the_interval() -> None:
    start = [detector(0.5, 0)] * 3
    same, mixed = [detector(0.8, 1)] * 3, [detector(0.6, 1), detector(0.8, 1), detector(1.0, 1)]
    narrow, wide = difference_of(start, same), difference_of(start, mixed)
    assert wide.high - wide.low > narrow.high - narrow.low


def test_recovered_share_is_one_at_the_ceiling_and_none_at_the_start() -> None:
    start, ceiling = [detector(0.2, n) for n in range(3)], [detector(0.9, n) for n in range(3)]
    assert recovered_share(start, ceiling, ceiling).value == pytest.approx(1)
    assert recovered_share(start, start, ceiling).value == pytest.approx(0)


def test_recovered_share_is_not_told_where_there_is_no_way_to_go() -> None:
    arm = [detector(0.5, n) for n in range(2)]
    assert np.isnan(recovered_share(arm, arm, arm).value)
