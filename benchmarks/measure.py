"""Time two ways of doing the same thing side by side."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """Median seconds of a baseline and of our way, and how often ours fits into the baseline."""

    name: str
    baseline: str
    baseline_seconds: float
    ours_seconds: float

    @property
    def ratio(self) -> float:
        """Baseline over ours: above 1, ours is faster."""
        return self.baseline_seconds / self.ours_seconds


def compare(
    name: str, baseline_name: str, baseline: Callable[[], object], ours: Callable[[], object], repeats: int = 5
) -> Comparison:
    """Run both in turn, `repeats` times after one warm-up each, so that a drift of the machine meets both."""
    baseline()
    ours()
    pairs = [(_seconds(baseline), _seconds(ours)) for _ in range(repeats)]
    return Comparison(
        name, baseline_name, statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)
    )


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
