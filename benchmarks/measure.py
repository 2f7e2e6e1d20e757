"""Compare two ways of doing the same thing side by side."""

import math
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Comparison:
    """Median seconds of a baseline and of our way, and how often ours fits into the baseline.

    Attributes
    ----------
    baseline_cpu_seconds, ours_cpu_seconds
        Seconds of all cores together: where other programs load the machine, their ratio says more.
    goal
        Smallest ratio that is wanted; 0 where none is.
    note
        Conditions, and what was checked.
    """

    name: str
    baseline: str
    baseline_seconds: float
    ours_seconds: float
    baseline_cpu_seconds: float = math.nan
    ours_cpu_seconds: float = math.nan
    goal: float = 0.0
    note: str = ""

    @property
    def ratio(self) -> float:
        """Baseline over ours: above 1, ours is faster."""
        return self.baseline_seconds / self.ours_seconds

    @property
    def cpu_ratio(self) -> float:
        """The same of the seconds of all cores together."""
        return self.baseline_cpu_seconds / self.ours_cpu_seconds

    @property
    def is_met(self) -> bool:
        """Whether the ratio is what is wanted."""
        return self.ratio >= self.goal

    def per_piece(self, baseline_pieces: int, our_pieces: int) -> "Comparison":
        """Return the comparison for one piece of work, where each call did so many."""
        return replace(
            self,
            baseline_seconds=self.baseline_seconds / baseline_pieces,
            ours_seconds=self.ours_seconds / our_pieces,
            baseline_cpu_seconds=self.baseline_cpu_seconds / baseline_pieces,
            ours_cpu_seconds=self.ours_cpu_seconds / our_pieces,
        )

    def wanted(self, goal: float, note: str = "") -> "Comparison":
        """Return the comparison with what is wanted of it."""
        return replace(self, goal=goal, note=note)


@dataclass(frozen=True, slots=True)
class Growth:
    """What a larger task costs relative to a smaller one.

    Attributes
    ----------
    limit
        Largest ratio that is wanted.
    """

    name: str
    smaller: str
    smaller_cost: float
    larger: str
    larger_cost: float
    unit: str
    limit: float

    @property
    def ratio(self) -> float:
        """Larger over smaller: 1 where the cost does not grow."""
        return self.larger_cost / self.smaller_cost

    @property
    def is_met(self) -> bool:
        """Whether the cost grows no more than is wanted."""
        return self.ratio <= self.limit


def compare(
    name: str,
    baseline_name: str,
    baseline: Callable[[], object],
    ours: Callable[[], object],
    repeats: int = 5,
    rest: Callable[[], object] = lambda: None,
) -> Comparison:
    """Run both in turn, `repeats` times after one warm-up each, so that a drift of the machine meets both.

    What either leaves behind is done in `rest`, after each of them and outside their time.
    """
    _seconds(baseline, rest)
    _seconds(ours, rest)
    pairs = [(_seconds(baseline, rest), _seconds(ours, rest)) for _ in range(repeats)]
    baseline_wall, baseline_cpu = (statistics.median(pair[0][clock] for pair in pairs) for clock in (0, 1))
    ours_wall, ours_cpu = (statistics.median(pair[1][clock] for pair in pairs) for clock in (0, 1))
    return Comparison(name, baseline_name, baseline_wall, ours_wall, baseline_cpu, ours_cpu)


def peak_of_this_process() -> int:
    """Return the largest memory in bytes; Linux counts into `ru_maxrss` what the parent had when it started us."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _seconds(run: Callable[[], object], rest: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds on the wall and of all cores."""
    started, cpu_started = time.perf_counter(), time.process_time()
    run()
    seconds = time.perf_counter() - started, time.process_time() - cpu_started
    rest()
    return seconds
