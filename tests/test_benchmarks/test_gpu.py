import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_gpu_script_runs_where_there_is_no_gpu(tmp_path):
    results = tmp_path / "results.json"
    options = ["--device", "cpu", "--slices", "1", "--repeats", "1", "--results", str(results)]
    command = [sys.executable, "-m", "benchmarks.gpu", *options]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "published, 4 experts" in done.stdout
    speeds = json.loads(results.read_text())["speeds"]
    assert [(row["experts"], row["precision"]) for row in speeds] == [
        (1, "bf16"),
        (1, "fp32"),
        (4, "bf16"),
        (4, "fp32"),
    ]
    assert all(row["floor_ms"] > 0 for row in speeds)
    assert all(row["giga_macs"] > 50 for row in speeds)
