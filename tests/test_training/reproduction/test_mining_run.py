"""Recipes that mine, run on phantoms from the first detector to the measured second one, also when they are stopped."""

import io
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.processes import killed_recipe
from support.training.training_runs import StoppingStream
from support.training.training_scenes import Ball, case_of, key_slice_lesion, lesion_of, set_of

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn, read_card, shipped_embedding_folder
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from lens_engine.errors import CheckpointError, ConfigError
from lens_engine.jobs.environment import process_environment
from lens_engine.lesion_embedding.checkpoint import save_embedding
from lens_engine.lesion_embedding.config import narrow_embedding
from lens_engine.lesion_embedding.network import EmbeddingNetwork
from lens_engine.snapshot import LesionOrigin
from lens_training.errors import TrainingStoppedError
from lens_training.recipes.files import load_recipe
from lens_training.reproduction.data import PHANTOM, MeasuredGroup, RecipeData
from lens_training.reproduction.detector_stage import RecipeRun
from lens_training.reproduction.mined_labels import load_mined
from lens_training.reproduction.run import run_recipe
from lens_training.running.processes.world import World
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal

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


def network_of(vectors: Path) -> str:
    with np.load(vectors) as stored:
        return str(stored["network"])


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
def test_a_run_that_goes_on_with_another_embedding_embeds_anew_and_detects_nothing_again(tmp_path: Path):
    torch.manual_seed(5)
    card = CheckpointCard(trained_on=TrainedOn.NOTHING, recipe="own")
    other = save_embedding(EmbeddingNetwork(narrow_embedding(2)), card, tmp_path / "own").weights_digest
    run = run_of(tmp_path, EVERYTHING_MATCHES)
    go(run, StoppingStream(0, "mine"))
    files = list((run.folder / "first-round" / "embeddings").glob("*.npz"))
    assert len(files) == 2
    assert other not in {network_of(path) for path in files}
    again = go(replace(run, embedding=tmp_path / "own"), StoppingStream(1, "mine"), resume=True)
    assert not {"train", "detect"} & {message["stage"] for message in again}
    assert {network_of(path) for path in files} == {other}
    assert load_mined(run.folder / "first-round" / "labels.jsonl").report.embedding.weights == other


@pytest.mark.slow
def test_a_recipe_that_mines_goes_on_where_it_was_stopped_and_learns_from_what_it_mined(tmp_path: Path):
    run = run_of(tmp_path, EVERYTHING_MATCHES)
    first_round = run.folder / "first-round"
    go(run, StoppingStream(4))
    assert not (first_round / "card.json").exists()

    stopped = go(run, StoppingStream(0, "detect"), resume=True)
    assert steps_of(stopped) == [5, 6]
    (done,) = (first_round / "detections").glob("*.parquet")
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
    used = read_card(shipped_embedding_folder())
    assert (told["embedding"]["recipe"], told["embedding"]["weights"]) == ("phantom-embedding", used.weights_digest)
    assert {network_of(path) for path in (first_round / "embeddings").glob("*.npz")} == {used.weights_digest}
    assert "+ unlabelled" in (run.folder / "results.txt").read_text()


@pytest.mark.slow
def test_a_run_that_began_anew_and_was_stopped_goes_on_with_nothing_of_the_earlier_one(tmp_path: Path):
    earlier = run_of(tmp_path, EVERYTHING_MATCHES)
    go(earlier)
    run = replace(earlier, seed=1)
    go(run, StoppingStream(0, "detect"))
    assert not (run.folder / "card.json").exists()
    assert steps_of(go(run, resume=True)) == [1, 2, 3, 4, 5, 6]
    assert read_card(run.folder).seed == 1


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


KILLED_AT = ("train 4", "detect 1", "mine 0", "train 4", "evaluate 1")
"""Of the first training, the detection, the mining, the second training, and the measuring."""


def in_process(recipe: Path, folder: Path, place: str = "") -> list[dict[str, object]]:
    """Run a recipe in a process of its own, to the end or to where it kills itself; return all reports so far."""
    program = Path(killed_recipe.__file__)
    command = [sys.executable, str(program), str(recipe), str(folder), *place.split()]
    ended = subprocess.run(command, env={**process_environment(), "OMP_NUM_THREADS": "1"}, check=False)
    assert ended.returncode == (-signal.SIGKILL if place else 0)
    return [json.loads(line) for line in (folder / "reported.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_recipe_that_is_killed_in_every_stage_ends_as_if_it_had_not_been_and_repeats_nothing(tmp_path: Path):
    recipe = run_of(tmp_path, EVERYTHING_MATCHES).folder.parent / "quick.yaml"
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for place in KILLED_AT:
        in_process(recipe, killed, place)
    messages, undisturbed = in_process(recipe, killed), in_process(recipe, whole)
    assert steps_of(undisturbed) == [*range(1, 7)] * 2
    assert steps_of(messages) == [1, 2, 3, 4, 3, 4, 5, 6] * 2  # from the last checkpoint, two steps before
    done = [message["done"] for message in messages if message["stage"] == "detect"]
    assert done == [0, 1, 1, 2]
    assert [message["done"] for message in messages if message["stage"] == "mine"] == [0, 0, 1]
    for name in ("weights.safetensors", "first-round/weights.safetensors", "first-round/labels.jsonl"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    one, other = (json.loads((folder / "results.json").read_text()) for folder in (killed, whole))
    for name in ("groups", "mining", "made from"):
        assert one[name] == other[name]
    again = in_process(recipe, killed)[len(messages) :]
    assert not {"train", "detect", "mine", "evaluate"} & {str(message["stage"]) for message in again}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mining", "strategy"),
    [
        ("mining: {strategy: wang, settings: {min_score: 0.05}}", "wang"),
        ("mining: {strategy: meld, settings: {distance_limit: 2}}", "meld"),
        ("mining: {strategy: distillation, copies: 2, settings: {copies: 2, min_score: 0.01}}", "distillation"),
    ],
)
def test_a_recipe_of_every_strategy_goes_from_data_to_numbers(tmp_path: Path, mining: str, strategy: str):
    run = run_of(tmp_path, mining + "\n")
    messages = go(run)
    assert steps_of(messages) == [*range(1, 7)] * 2
    told = json.loads((run.folder / "results.json").read_text())["mining"]
    assert told["strategy"] == strategy
    assert len(told["counts"]) > 1
    mined = load_mined(run.folder / "first-round" / "labels.jsonl")
    assert LesionOrigin.MINED in {lesion.origin for part in mined.labels for lesion in part.lesions}
    assert read_card(run.folder / "first-round").weights_digest != read_card(run.folder).weights_digest


@pytest.mark.slow
def test_a_second_round_mines_with_a_detector_that_learnt_from_the_first(tmp_path: Path):
    run = run_of(tmp_path, "mining: {strategy: lens, rounds: 2, settings: {distance_limit: 2}}\n")
    messages = go(run)
    assert steps_of(messages) == [*range(1, 7)] * 3
    digests = [read_card(run.folder / name).weights_digest for name in ("first-round", "second-round", "")]
    assert len(set(digests)) == 3
    first, second = (load_mined(run.folder / name / "labels.jsonl") for name in ("first-round", "second-round"))
    annotated = [
        [lesion.slices for part in mined.labels for lesion in part.lesions if lesion.origin is LesionOrigin.ANNOTATION]
        for mined in (first, second)
    ]
    assert annotated[0] == annotated[1]
    assert first.digest != second.digest
    told = json.loads((run.folder / "results.json").read_text())["told"]["mined"]
    assert len(told) == 2
    assert "mining, second-round" in (run.folder / "results.txt").read_text()
    again = go(run, resume=True)
    assert not {"train", "detect", "mine", "evaluate"} & {str(message["stage"]) for message in again}


@pytest.mark.slow
def test_the_points_of_a_sweep_share_the_first_round_and_stand_in_one_table(tmp_path: Path):
    sweep = "sweep: {setting: distance_limit, values: [0, 2]}\n"
    run = run_of(tmp_path, f"mining: {{strategy: lens}}\n{sweep}")
    stopped = go(run, StoppingStream(0, "evaluate"))
    assert steps_of(stopped) == [*range(1, 7)] * 2
    rest = go(run, resume=True)
    assert steps_of(rest) == [*range(1, 7)]
    assert not [message for message in rest if message["stage"] == "detect"]
    points = [run.folder / name for name in ("distance_limit-0", "distance_limit-2")]
    low, high = (json.loads((point / "results.json").read_text())["mining"]["counts"] for point in points)
    assert high[-1]["lesions"] > low[-1]["lesions"]
    assert not (points[0] / "first-round" / "card.json").exists()
    table = (run.folder / "results.txt").read_text()
    assert all(point.name in table for point in points)
    told = json.loads((run.folder / "results.json").read_text())
    assert [point["value"] for point in told["points"]] == [0, 2]
    assert len({read_card(folder).weights_digest for folder in (run.folder / "first-round", *points)}) == 3


@pytest.mark.slow
def test_a_training_that_goes_on_from_an_epoch_of_the_first_has_the_rest_of_its_epochs_and_its_weights(tmp_path: Path):
    run = run_of(tmp_path, "mining: {strategy: none, begins_with_epoch: 1}\nsteps: null\nepochs: 2\n")
    steps = steps_of(go(run))
    epoch = len(steps) // 3
    assert steps == [*range(1, 2 * epoch + 1), *range(1, epoch + 1)]
    kept = run.folder / "first-round" / "epoch-1"
    assert read_card(kept).steps == epoch
    model, card = load_checkpoint(kept)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    save_checkpoint(model, card, kept)
    with pytest.raises(CheckpointError, match="belongs to another run"):
        go(run, resume=True)
