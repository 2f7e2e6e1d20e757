import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn, read_card
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.checkpoint import load_checkpoint, save_checkpoint
from lens_engine.snapshot import Snapshot
from lens_training.cli import app
from lens_training.datasets.snapshot import training_set
from lens_training.errors import TrainingStoppedError
from lens_training.fit import fit
from lens_training.last_checkpoint import LAST_CHECKPOINT
from lens_training.progress import ProgressLog
from lens_training.run import Run
from lens_training.stopping import EXIT_CODE, StopSignal
from training.scenes import EXPERTS, RECIPE, TINY, tiny_model, write_snapshot

STEPS = 6


@pytest.fixture(autouse=True)
def keep_signal_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    write_snapshot(tmp_path)
    card = CheckpointCard(trained_on=TrainedOn.PHANTOMS)
    save_checkpoint(tiny_model(), card, tmp_path / "parent")
    return tmp_path


class TerminatingStream(io.StringIO):
    """Sends SIGTERM to this process when the training reports a step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def write(self, text: str) -> int:
        message = json.loads(text)
        if message["stage"] == "train" and message["done"] == self._step:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().write(text)


def train(scans: Path, name: str, stream: io.StringIO, *, resume: bool = False) -> LensDetector:
    (scans / name).mkdir(exist_ok=True)
    series = training_set(Snapshot.load(scans / "snapshot.json"), {"scans": scans})
    model, stop = tiny_model(), StopSignal()
    stop.listen()
    run = Run(series, RECIPE.with_length(steps=STEPS), seed=0, fingerprint="same", folder=scans / name)
    fit(model, run, ProgressLog(stream, None, interval_seconds=0), stop, resume=resume)
    return model


def arguments(scans: Path, out: str, *more: str, **changes: object) -> list[str]:
    recipe = scans / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE.model_copy(update=changes).model_dump(mode="json")))
    options = {
        "snapshot": scans / "snapshot.json",
        "init": scans / "parent",
        "recipe": recipe,
        "out": scans / out,
        "root": f"scans={scans}",
    }
    return ["fit", *(part for name, value in options.items() for part in (f"--{name}", str(value))), *more]


def invoke(arguments: list[str]) -> Result:
    return CliRunner().invoke(app, arguments)


def start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lens_training", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, "the training ended before it could be stopped"
        time.sleep(0.05)


def test_fit_writes_a_checkpoint_with_its_card_and_tells_its_progress(scans: Path):
    done = invoke(arguments(scans, "out"))
    assert done.exit_code == 0, done.output
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    stages = [message["stage"] for message in messages]
    assert stages == sorted(stages, key=["prepare", "train", "save"].index)
    last = [message for message in messages if message["stage"] == "train"][-1]
    assert (last["done"], last["total"]) == (4, 4)
    assert last["loss"] > 0
    model, card = load_checkpoint(scans / "out")
    assert model.config == TINY
    assert (card.steps, card.recipe, card.parent, card.trained_on) == (4, "recipe", "parent", TrainedOn.PHANTOMS)
    assert "synthetic phantoms" in card.notice
    assert not torch.equal(model.head.fc6.weight, tiny_model().head.fc6.weight)
    assert len((scans / "out" / "log.jsonl").read_text().splitlines()) >= 4


def test_a_run_that_was_stopped_and_resumed_equals_one_that_was_not(scans: Path):
    whole = train(scans, "whole", io.StringIO()).state_dict()
    with pytest.raises(TrainingStoppedError):
        train(scans, "parts", TerminatingStream(step=3))
    assert torch.load(scans / "parts" / LAST_CHECKPOINT, weights_only=True)["global_step"] == 3
    resumed = train(scans, "parts", io.StringIO(), resume=True).state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    finished = train(scans, "parts", io.StringIO(), resume=True).state_dict()
    assert all(torch.equal(whole[name], finished[name]) for name in whole)


def test_the_network_is_trained_even_when_it_came_from_a_checkpoint_in_evaluation_mode(scans: Path):
    done = invoke(arguments(scans, "out"))
    assert done.exit_code == 0, done.output
    before, after = tiny_model().state_dict(), load_checkpoint(scans / "out")[0].state_dict()
    assert any("running_mean" in name and not torch.equal(before[name], after[name]) for name in before)


def test_a_process_that_was_killed_goes_on_from_its_last_checkpoint(scans: Path):
    endless = arguments(scans, "out", "--steps", "60", checkpoint_every=1)
    process = start(endless)
    wait_for(scans / "out" / LAST_CHECKPOINT, process)
    process.kill()
    process.wait()
    step = torch.load(scans / "out" / LAST_CHECKPOINT, weights_only=True)["global_step"]
    assert not (scans / "out" / "card.json").exists()
    resumed = invoke([*endless, "--resume"])
    assert resumed.exit_code == 0, resumed.output
    trained = [json.loads(line) for line in (scans / "out" / "log.jsonl").read_text().splitlines()]
    steps = [message["done"] for message in trained if message["stage"] == "train"]
    assert steps[-1] == 60
    assert steps[steps.index(step) + 1 :].count(step) == 0
    assert read_card(scans / "out").steps == 60


def test_sigterm_saves_the_step_it_was_at_and_exits_with_143(scans: Path):
    process = start(arguments(scans, "out", "--steps", "100000", checkpoint_every=1))
    wait_for(scans / "out" / LAST_CHECKPOINT, process)
    process.terminate()
    assert process.wait(timeout=120) == EXIT_CODE == 143
    assert process.stderr is not None
    with process.stderr as messages:
        assert "--resume" in messages.read()
    assert torch.load(scans / "out" / LAST_CHECKPOINT, weights_only=True)["global_step"] >= 1
    assert not (scans / "out" / "card.json").exists()


def test_resuming_another_run_is_refused(scans: Path):
    assert invoke(arguments(scans, "out")).exit_code == 0
    other = invoke(arguments(scans, "out", "--resume", "--seed", "7"))
    assert other.exit_code == 1
    assert "belongs to another run" in other.output
    assert "without --resume" in json.loads((scans / "out" / "error.json").read_text())["remedy"]


def test_a_missing_scan_ends_the_run_with_one_message_that_names_it(scans: Path):
    (scans / "b.nii.gz").unlink()
    done = invoke(arguments(scans, "out"))
    assert done.exit_code == 1
    assert "b.nii.gz" in done.output
    assert "Traceback" not in done.output


def test_a_scan_that_no_longer_fits_its_labels_is_named(scans: Path):
    (scans / "b.nii.gz").write_bytes((scans / "a.nii.gz").read_bytes())
    snapshot = Snapshot.load(scans / "snapshot.json")
    entry = snapshot.series[1]
    taller = entry.model_copy(update={"geometry": entry.geometry | {"shape": [20, 64, 64]}})
    snapshot.model_copy(update={"series": (snapshot.series[0], taller)}).save(scans / "snapshot.json")
    done = invoke(arguments(scans, "out"))
    assert done.exit_code == 1
    assert "(20, 64, 64)" in done.output


def test_training_from_scratch_needs_no_parent(scans: Path):
    done = invoke(arguments(scans, "out", "--init", "none", "--steps", "1"))
    assert done.exit_code == 0, done.output
    card = read_card(scans / "out")
    assert card.trained_on is TrainedOn.PATIENTS
    assert card.parent is None
    assert card.experts == EXPERTS
