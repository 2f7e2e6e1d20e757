"""`make bench`: print tables and write `benchmarks/results.json`.

`python -m benchmarks --full` takes longer volumes and more repetitions; `--only detection` runs one part.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from benchmarks import jobs, measuring, reading, samples
from benchmarks.conditions import conditions, ensure_environment
from benchmarks.detector import detection, key_slices, memory, operations, peers
from benchmarks.measure import Comparison, Growth
from benchmarks.mining import cost
from benchmarks.review import first_lesion, labels, viewer, worklist
from benchmarks.store import decisions

Row = TypeVar("Row", Comparison, Growth)

RESULTS = Path(__file__).with_name("results.json")

_COMPARISONS: Mapping[str, Callable[[bool], list[Comparison]]] = {
    "detection": lambda full: detection.run(full=full),
    "key slices": lambda full: key_slices.run(full=full),
    "peers": lambda full: peers.run(full=full),
    "operations": lambda full: operations.run(full=full),
    "reading": lambda full: reading.run(),
    "samples": lambda full: samples.run(),
    "jobs": lambda full: jobs.run(full=full),
    "labels": lambda full: labels.run(full=full),
    "viewer": lambda full: viewer.run(full=full),
    "worklist": lambda full: worklist.run(full=full),
    "first lesion": lambda full: first_lesion.run(full=full),
    "decisions": lambda full: decisions.run(full=full),
}
_GROWTHS: Mapping[str, Callable[[bool], list[Growth]]] = {
    "detection": lambda full: detection.growth(full=full),
    "memory": lambda full: memory.growth() + measuring.growth(),
    "samples": lambda full: samples.growth(),
    "mining": lambda full: cost.growth(full=full),
    "viewer": lambda full: viewer.growth(full=full),
    "worklist": lambda full: worklist.growth(full=full),
    "decisions": lambda full: decisions.growth(full=full),
}


def main() -> None:
    """Run every comparison, or those of one part."""
    ensure_environment()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="longer volumes, more repetitions")
    parser.add_argument("--only", action="append", choices=sorted({*_COMPARISONS, *_GROWTHS}))
    options = parser.parse_args()
    parts = options.only or [*_COMPARISONS, *_GROWTHS]
    before = conditions()
    print("  ".join(f"{name}: {value}" for name, value in before.items()))
    comparisons = _gathered(_COMPARISONS, parts, full=options.full, show=_show_comparison)
    growths = _gathered(_GROWTHS, parts, full=options.full, show=_show_growth)
    results = {
        "conditions": before | {"load afterwards": conditions()["load"]},
        "comparisons": [asdict(row) | {"ratio": row.ratio, "cpu_ratio": row.cpu_ratio} for row in comparisons],
        "growths": [asdict(row) | {"ratio": row.ratio} for row in growths],
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    rows: list[Comparison | Growth] = [*comparisons, *growths]
    missed = [row.name for row in rows if not row.is_met]
    print(f"missed: {', '.join(missed)}" if missed else "every goal is met")


def _gathered(
    parts: Mapping[str, Callable[[bool], list[Row]]], names: Sequence[str], *, full: bool, show: Callable[[Row], None]
) -> list[Row]:
    rows: list[Row] = []
    for name, run in parts.items():
        if name in names:
            for row in run(full):
                show(row)
                rows.append(row)
    return rows


def _show_comparison(row: Comparison) -> None:
    goal = f"{'ok' if row.is_met else 'MISSED'}, goal {row.goal:g}x" if row.goal else ""
    print(
        f"{row.name:58} {row.baseline:18} {row.baseline_seconds * 1e3:9.1f} ms {row.ours_seconds * 1e3:9.1f} ms"
        f" {row.ratio:6.2f}x (cores {row.cpu_ratio:5.2f}x)  {goal:18} {row.note}",
        flush=True,
    )


def _show_growth(row: Growth) -> None:
    print(
        f"{row.name:58} {row.smaller}: {row.smaller_cost:.1f} {row.unit},"
        f" {row.larger}: {row.larger_cost:.1f} {row.unit}"
        f" {row.ratio:6.2f}x  {'ok' if row.is_met else 'MISSED'}, limit {row.limit:g}x",
        flush=True,
    )


if __name__ == "__main__":
    main()
