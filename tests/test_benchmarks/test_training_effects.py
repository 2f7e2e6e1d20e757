import json
from pathlib import Path

import pytest

from benchmarks.detector.training_effects import EFFECTS, Run, differences


def test_every_arm_is_a_recipe_of_its_own_and_one_is_in_both_experiments():
    runs = {effect: {Run.of(arm, 100, 0).identity for arm in arms.values()} for effect, arms in EFFECTS.items()}
    assert {effect: len(own) for effect, own in runs.items()} == {effect: len(arms) for effect, arms in EFFECTS.items()}
    assert len(runs["crop"] & runs["optimiser"]) == 1


def test_a_run_that_was_done_is_told_by_its_recipe_length_and_seed(tmp_path: Path):
    kept = tmp_path / "kept.jsonl"
    arm, other = EFFECTS["crop"].values()
    assert Run.of(arm, 100, 0).kept(kept) is None
    lines = [{"run": [Run.of(arm, 100, 0).identity, 100, seed], "average": seed / 10} for seed in range(3)]
    kept.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert Run.of(arm, 100, 2).kept(kept) == 0.2
    assert [Run.of(*run).kept(kept) for run in [(arm, 100, 3), (arm, 200, 2), (other, 100, 2)]] == [None] * 3


def test_arms_are_compared_seed_by_seed():
    found = differences({"default": [0.50, 0.60, 0.70], "other": [0.52, 0.61, 0.73]})
    assert (found["default"].difference, found["default"].low, found["default"].high) == (0, 0, 0)
    other = found["other"]
    assert (other.mean, other.difference) == pytest.approx((0.62, 0.02))
    assert (other.low, other.high) == pytest.approx((0.02 - 0.024841, 0.02 + 0.024841), abs=1e-5)


def test_one_seed_says_nothing_about_a_difference():
    found = differences({"default": [0.5], "other": [0.9]})["other"]
    assert (found.low, found.high) == (float("-inf"), float("inf"))
