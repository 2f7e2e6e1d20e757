"""`make bench`: print a table and write `benchmarks/results.json`."""

import json
import platform
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks import detection

RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    """Run every comparison."""
    rows = detection.run()
    print(f"{'what':48} {'baseline':16} {'baseline s':>10} {'ours s':>8} {'ratio':>6}")
    for row in rows:
        print(f"{row.name:48} {row.baseline:16} {row.baseline_seconds:10.3f} {row.ours_seconds:8.3f} {row.ratio:5.1f}x")
    machine = {"machine": platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    results = [asdict(row) | {"ratio": row.ratio} for row in rows]
    RESULTS.write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
