"""How often a run writes what it goes on from, by what that costs; and the weights that are kept of some epochs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.processes.full_disk import full_disk, needs_file_limit
from support.training.training_runs import StoppingStream, last_state, train
from support.training.training_scenes import RECIPE, tiny_model, write_snapshot

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_engine.jobs.names import LAST_CHECKPOINT
from lens_training.detector.module import DetectorTraining
from lens_training.errors import TrainingInterruptedError, TrainingStoppedError
from lens_training.recipes.files import load_recipe
from lens_training.recipes.recipe import Recipe
from lens_training.running.course import DEFAULT_CHECKPOINT_GIB
from lens_training.running.last_checkpoint import checkpoint_spacing, kept_steps, state_bytes, weights_of

BUDGET = int(DEFAULT_CHECKPOINT_GIB * 2**30)
WRITTEN_AT_MOST = 50e9
"""Bytes of checkpoints in a published run."""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_snapshot(tmp_path)
    return tmp_path / "out"


def test_the_size_of_a_checkpoint_is_known_before_it_is_written(out: Path) -> None:
    train(out)
    size = (out / LAST_CHECKPOINT).stat().st_size
    training = DetectorTraining(tiny_model(), RECIPE, 4, 0)
    tensors = last_state(out)
    assert state_bytes(training) == sum(value.nbytes for value in tensors["state_dict"].values()) + sum(
        moment.nbytes
        for kept in tensors["optimizer_states"][0]["state"].values()
        for name, moment in kept.items()
        if name != "step"
    )
    assert 0 < size - state_bytes(training) < 500_000  # names and offsets; of the same order in a large network


def test_a_small_checkpoint_is_written_as_often_as_asked_and_a_large_one_as_often_as_the_budget_allows() -> None:
    assert checkpoint_spacing(50, 50_000, file_bytes=10**6, budget_bytes=10**10) == 50
    spacing = checkpoint_spacing(50, 50_000, file_bytes=10**9, budget_bytes=10**10)
    assert -(-50_000 // spacing) * 10**9 <= 10**10
    assert spacing < 50_000 / 8
    assert checkpoint_spacing(50, 1000, file_bytes=10**9, budget_bytes=1) == 1000


def trained_networks(recipe: Recipe) -> Iterator[int]:
    """Yield the size of the checkpoint of every network that a recipe trains, from meta tensors."""
    with torch.device("meta"):
        rounds = 0 if recipe.mining is None else recipe.mining.rounds
        for one in (*[recipe.first_round] * rounds, recipe):
            yield state_bytes(LensDetector(one.detector.config(tuple(one.datasets))))
        if recipe.false_positive_reduction is not None:
            config = LensDetector(recipe.detector.config(tuple(recipe.datasets))).config
            yield state_bytes(FprNetwork(recipe.false_positive_reduction.size.config(config)))


@pytest.mark.parametrize("name", ["L2-c", "L2-h", "L4-2r", "M1-4"])
def test_a_published_run_writes_less_than_50_gb_of_checkpoints(name: str) -> None:
    recipe, steps, written = load_recipe(name), 110_000, 0
    for size in trained_networks(recipe):
        spacing = checkpoint_spacing(recipe.checkpoint_every, steps, size, BUDGET)
        weights = size // 3 * (2 + len(recipe.checkpoint_epochs))  # what is kept, as a file and as a checkpoint
        written += -(-steps // spacing) * size + 2 * weights
    assert written < WRITTEN_AT_MOST


def test_the_sizes_that_the_page_states_are_those_of_the_networks() -> None:
    sizes = [round(size / 1e6) for name in ("L2-a", "L2-c") for size in trained_networks(load_recipe(name))]
    page = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
    for megabytes in sizes:
        assert f"{megabytes} MB" in page


def test_a_run_with_a_small_budget_writes_at_its_end_and_when_it_is_stopped(out: Path) -> None:
    recipe = RECIPE.with_options({"checkpoint_every": 1, "checkpoint_gib": 1e-6})
    stream = StoppingStream(step=3)
    with pytest.raises(TrainingStoppedError):
        train(out, recipe, stream)
    assert last_state(out)["global_step"] == 3
    train(out, recipe, resume=True)
    assert last_state(out)["global_step"] == 4


def test_the_weights_after_an_epoch_are_those_of_a_run_that_ends_there(out: Path) -> None:
    two = RECIPE.with_length(epochs=2)
    train(out, two.with_options({"checkpoint_epochs": (1, 2, 9)}))
    kept = out / "epoch-1.ckpt"
    fingerprint = last_state(out)["lens_fingerprint"]
    steps = kept_steps(kept, fingerprint)
    assert 0 < steps < last_state(out)["global_step"]
    assert kept_steps(kept, "of another run") == 0
    assert not (out / "epoch-9.ckpt").exists()
    after_two, last = weights_of(out / "epoch-2.ckpt", "model"), weights_of(out / LAST_CHECKPOINT, "model")
    assert all(torch.equal(after_two[name], last[name]) for name in last)
    assert any(not torch.equal(value, last[name]) for name, value in weights_of(kept, "model").items())
    assert kept.stat().st_size < (out / LAST_CHECKPOINT).stat().st_size / 2


@needs_file_limit
@pytest.mark.parametrize("changes", [{}, {"checkpoint_epochs": (1,), "checkpoint_every": 100}])
def test_a_full_disk_ends_the_run_in_words_and_leaves_nothing_half_written(
    out: Path, changes: dict[str, object]
) -> None:
    recipe = RECIPE.with_length(epochs=1).with_options(changes)
    with full_disk(20_000), pytest.raises(TrainingInterruptedError, match=r"\.ckpt cannot be written"):
        train(out, recipe)
    assert not list(out.glob("*.ckpt"))
    assert not list(out.glob(".*"))
