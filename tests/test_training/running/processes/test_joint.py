import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from support.processes import rank_program
from support.processes.rank_program import LONG_STEPS, SHORT_STEPS, STOPPED_STEP, long_recipe
from support.processes.ranks import outcomes, run_ranks
from support.training.training_scenes import RECIPE, TINY, cache_of, tiny_model, write_snapshot

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from lens_engine.jobs.names import LAST_CHECKPOINT
from lens_engine.snapshot import Snapshot
from lens_training.datasets.snapshot import training_set
from lens_training.detector.batches import BatchMaker
from lens_training.detector.module import DetectorTraining
from lens_training.detector.sampling import BatchPlan

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which two processes have tried all runs of `rank_program`."""
    folder = tmp_path_factory.mktemp("together")
    write_snapshot(folder)
    run_ranks(rank_program, folder)
    return folder


def parameters(model: LensDetector, state: Weights) -> Weights:
    return {name: state[name] for name, _ in model.named_parameters()}


def trained_alone_on_both_batches(folder: Path, steps: int) -> LensDetector:
    """Learn in this process from the batches of both, before every step."""
    cases = training_set(Snapshot.load(folder / "snapshot.json"), {"scans": folder})
    maker = BatchMaker(cases, cache_of(cases), BatchPlan(cases, RECIPE.sampling, 0), TINY, RECIPE.augmentation, 0)
    model = tiny_model()
    training = DetectorTraining(model, RECIPE.with_length(steps=steps), steps, seed=0).train()
    chosen = training.configure_optimizers()
    optimiser, schedule = chosen["optimizer"], chosen["lr_scheduler"]["scheduler"]
    for step in range(steps):
        optimiser.zero_grad()
        for number in (2 * step, 2 * step + 1):
            (training.training_step(maker.batch(number), 0) / 2).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), RECIPE.schedule.gradient_clip)
        optimiser.step()
        schedule.step()
    return model


@pytest.mark.slow
def test_both_processes_end_with_the_same_weights(together: Path):
    first, second = (torch.load(together / f"long-{rank}.pt", weights_only=True) for rank in range(2))
    model = tiny_model()
    assert all(torch.equal(value, parameters(model, second)[name]) for name, value in parameters(model, first).items())
    assert outcomes(together, "long") == ({"steps": LONG_STEPS}, {"steps": LONG_STEPS})


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_the_batches_of_both(together: Path):
    # Parameters only: running statistics of batch normalisation are those of the first process's batches.
    alone = trained_alone_on_both_batches(together, SHORT_STEPS)
    joint = parameters(alone, torch.load(together / "short-0.pt", weights_only=True))
    for name, value in alone.named_parameters():
        torch.testing.assert_close(joint[name], value.detach(), rtol=0, atol=1e-6, msg=name)
    before = dict(tiny_model().named_parameters())
    assert any((joint[name] - before[name]).abs().max() > 1e-4 for name in before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("not-finite", "TrainingError", "lung"),
        ("unreadable", "TrainingInterruptedError", "Process 1 misses"),
        ("stopped", "TrainingStoppedError", "--resume"),
    ],
)
def test_what_happens_to_one_process_ends_both_and_the_first_one_tells(
    together: Path, name: str, error: str, message: str
):
    first, second = outcomes(together, name)
    assert first["error"] == error
    assert message in first["message"]
    assert second["error"] == "EndedElsewhereError"


@pytest.mark.slow
def test_a_stop_of_one_process_saves_the_step_of_both(together: Path):
    state = torch.load(together / "stopped" / LAST_CHECKPOINT, weights_only=True)
    assert state["global_step"] == STOPPED_STEP


@pytest.fixture
def started(together: Path) -> Iterator[tuple[list[str], subprocess.Popen[bytes]]]:
    """Start the long run from the command line on two devices; yield its arguments and its process."""
    save_checkpoint(tiny_model(), CheckpointCard(trained_on=TrainedOn.PHANTOMS), together / "parent")
    recipe = long_recipe().with_options({"checkpoint_every": 1})
    (together / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    options = {
        "snapshot": together / "snapshot.json",
        "init": together / "parent",
        "recipe": together / "recipe.yaml",
        "out": together / "killed",
        "root": f"scans={together}",
        "devices": 2,
    }
    arguments = ["fit", *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
    process = subprocess.Popen([sys.executable, "-m", "lens_training", *arguments], stdout=subprocess.DEVNULL)
    yield arguments, process
    process.kill()
    process.wait()


@pytest.mark.slow
def test_a_run_of_two_devices_that_was_killed_and_resumed_equals_one_that_was_not(
    together: Path, started: tuple[list[str], subprocess.Popen[bytes]]
):
    arguments, process = started
    while not (together / "killed" / LAST_CHECKPOINT).exists():
        assert process.poll() is None
        time.sleep(0.05)
    ranks = psutil.Process(process.pid).children()
    assert len(ranks) == 2
    process.kill()
    _, alive = psutil.wait_procs(ranks, timeout=30)
    assert not alive, "processes of a run outlive the one that watches over them"
    assert not (together / "killed" / "card.json").exists()
    subprocess.run([sys.executable, "-m", "lens_training", *arguments, "--resume"], check=True, capture_output=True)
    resumed = load_checkpoint(together / "killed")[0].state_dict()
    whole = torch.load(together / "long-0.pt", weights_only=True)
    stored = [name for name in whole if not name.endswith("num_batches_tracked")]
    assert all(torch.equal(whole[name], resumed[name]) for name in stored)
