"""Recipes that mine, run on phantoms from the first detector to the measured second one, also when they are stopped."""

import io
import json
from pathlib import Path

import pytest
from support.training_runs import StoppingStream
from support.training_scenes import Ball, case_of, key_slice_lesion, lesion_of, set_of

from lens_engine.checkpoint_card import TrainedOn, read_card
from lens_engine.errors import ConfigError
from lens_engine.snapshot import LesionOrigin
from lens_training.errors import TrainingStoppedError
from lens_training.recipes.files import load_recipe
from lens_training.reproduction.data import PHANTOM, MeasuredGroup, RecipeData
from lens_training.reproduction.detector_stage import RecipeRun
from lens_training.reproduction.mined_labels import load_mined
from lens_training.reproduction.run import run_recipe
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal
from lens_training.running.world import World

QUICK = """
inherits: L2-a
initial_weights: none
epochs: null
steps: 6
threads: 1
detector: {size: narrow}
schedule: {learning_rate: 1.0e-3}
sampling: {regions: 16, proposals: 16}
augmentation: {crop_side: 64}
log_every: 1
checkpoint_every: 2
phantoms: {universal_patients: 1, single_type_patients: 1, val_patients: 1, studies: 2}
"""
EVERYTHING_MATCHES = "mining: {strategy: lens, settings: {distance_limit: 2}}\n"


def run_of(folder: Path, mining: str, **changes: object) -> RecipeRun:
    path = folder / "quick.yaml"
    path.write_text(QUICK + mining)
    (folder / "out").mkdir(exist_ok=True)
    run = RecipeRun(load_recipe(str(path)), PHANTOM, folder / "out")
    return RecipeRun(**{name: getattr(run, name) for name in ("recipe", "source", "folder")} | changes)


def go(run: RecipeRun, stream: io.StringIO | None = None, *, resume: bool = False) -> list[dict[str, object]]:
    """Run to the end, or to where the stream stops it, and return what was reported."""
    stop, shown = StopSignal(), stream or io.StringIO()
    stop.listen()
    try:
        run_recipe(run, ProgressLog(shown, None, interval_seconds=0), stop, resume=resume)
    except TrainingStoppedError:
        assert stream is not None
    return [json.loads(line) for line in shown.getvalue().splitlines()]


def steps_of(messages: list[dict[str, object]]) -> list[object]:
    return [message["done"] for message in messages if message["stage"] == "train"]


@pytest.mark.slow
def test_the_second_training_begins_with_the_start_weights(tmp_path: Path):
    """With nothing mined both trainings are the same, to the bit: the second one goes on from nothing of the first."""
    run = run_of(tmp_path, "mining: {strategy: none}\n")
    messages = go(run)
    assert len(steps_of(messages)) == 12
    first, last = read_card(run.folder / "first-round"), read_card(run.folder)
    assert first.weights_digest == last.weights_digest
    assert last.trained_on is TrainedOn.PHANTOMS


@pytest.mark.slow
def test_a_recipe_that_mines_goes_on_where_it_was_stopped_and_learns_from_what_it_mined(tmp_path: Path):
    run = run_of(tmp_path, EVERYTHING_MATCHES)
    first_round = run.folder / "first-round"
    go(run, StoppingStream(4))
    assert not (first_round / "card.json").exists()

    stopped = go(run, StoppingStream(0, "detect"), resume=True)
    assert steps_of(stopped) == [5, 6]
    (done,) = (first_round / "detections").glob("*.npz")
    written = done.stat().st_mtime_ns

    messages = go(run, StoppingStream(2), resume=True)
    assert [message["done"] for message in messages if message["stage"] == "detect"] == [1, 2]
    assert done.stat().st_mtime_ns == written
    labels = first_round / "labels.jsonl"
    mined_at = labels.stat().st_mtime_ns

    rest = go(run, resume=True)
    assert steps_of(rest) == [3, 4, 5, 6]
    assert not [message for message in rest if message["stage"] == "mine"]
    assert labels.stat().st_mtime_ns == mined_at
    origins = [lesion.origin for part in load_mined(labels).labels for lesion in part.lesions]
    assert {LesionOrigin.ANNOTATION, LesionOrigin.MINED} == set(origins)
    assert read_card(first_round).weights_digest != read_card(run.folder).weights_digest

    told = json.loads((run.folder / "results.json").read_text())["mining"]
    by_name = {row["name"]: row for row in told["counts"]}
    assert by_name["no mining"]["lesions"] == origins.count(LesionOrigin.ANNOTATION)
    assert by_name["+ intra-patient"]["lesions"] > by_name["no mining"]["lesions"]
    assert told["distance_limit"] == 2
    assert "+ unlabelled" in (run.folder / "results.txt").read_text()


def test_a_recipe_that_mines_is_refused_for_several_processes(tmp_path: Path):
    run = run_of(tmp_path, EVERYTHING_MATCHES, world=World(devices=2))
    with pytest.raises(ConfigError, match="2 processes"):
        go(run)


def test_a_recipe_of_fewer_data_sets_than_its_first_detector_learns_from_and_is_measured_on_its_own():
    ball = Ball(30, 34, 6, 14)
    cases = case_of("universal", key_slice_lesion(ball)), case_of("lung", lesion_of(ball))
    groups = MeasuredGroup("all", ()), MeasuredGroup("lung", (), expert="lung")
    data = RecipeData(set_of(*cases), groups, TrainedOn.PHANTOMS, "digest")
    own = data.only(["universal"])
    assert own.experts == ("universal",)
    assert own.training_set.cases == cases[:1]
    assert [group.name for group in own.groups] == ["all"]
    assert own.digest != data.digest
    assert data.only(["universal", "lung"]) is data
