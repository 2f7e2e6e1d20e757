import json
import os
import subprocess
import sys

import pytest

from benchmarks.conditions import SETTINGS
from benchmarks.measure import Comparison, Growth, compare

PROGRAM = """
import json
import os
from benchmarks.conditions import SETTINGS, ensure_environment
ensure_environment()
print(json.dumps({name: os.environ.get(name) for name in SETTINGS}))
"""


def test_a_ratio_above_one_says_that_ours_is_faster():
    row = Comparison("", "", baseline_seconds=6.0, ours_seconds=2.0)
    assert row.ratio == 3
    assert row.wanted(3.0).is_met
    assert not row.wanted(3.1).is_met


def test_seconds_of_one_piece_are_compared_where_each_side_does_more():
    row = Comparison("", "", 6.0, 2.0, baseline_cpu_seconds=12.0, ours_cpu_seconds=4.0).per_piece(2, 4)
    assert (row.baseline_seconds, row.ours_seconds) == (3.0, 0.5)
    assert (row.ratio, row.cpu_ratio) == (6, 6)


def test_growth_is_met_up_to_its_limit():
    grown = Growth("", "", 10.0, "", 11.5, "ms", limit=1.15)
    assert grown.is_met
    assert not Growth("", "", 10.0, "", 11.6, "ms", limit=1.15).is_met


def test_both_ways_run_in_turn():
    order = []
    row = compare("", "", lambda: order.append("theirs"), lambda: order.append("ours"), repeats=3)
    assert order == ["theirs", "ours"] * 4
    assert row.baseline_seconds > 0 < row.ours_seconds


@pytest.mark.parametrize("own", [{}, {"OMP_NUM_THREADS": "1"}])
def test_a_benchmark_runs_in_the_environment_of_a_worker_but_keeps_what_a_user_chose(own):
    bare = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=bare | own, capture_output=True, text=True, check=True)
    values = json.loads(done.stdout)
    assert values["MALLOC_MMAP_THRESHOLD_"] == "4294967296"
    assert values["OMP_WAIT_POLICY"] == "PASSIVE"
    assert values["OMP_NUM_THREADS"] == own.get("OMP_NUM_THREADS", values["OMP_NUM_THREADS"]) is not None
