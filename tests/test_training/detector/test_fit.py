import json
import os
import pty
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support.files.densenet121_weights import densenet121
from support.training.training_runs import StoppingStream, last_state, train
from support.training.training_scenes import EXPERTS, RECIPE, TINY, tiny_model, write_snapshot
from typer.testing import CliRunner, Result

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn, read_card
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from lens_engine.jobs.names import LAST_CHECKPOINT
from lens_engine.snapshot import Snapshot
from lens_training.cli.app import app
from lens_training.datasets.snapshot import training_set
from lens_training.detector.sampling import BatchPlan
from lens_training.errors import TrainingError, TrainingStoppedError
from lens_training.recipes.recipe import DetectorRecipe, DetectorSize, InitialWeights
from lens_training.running.processes.joint import MOST_SKIPPED_STEPS
from lens_training.running.schedule import ScheduleRecipe, TrainingPrecision
from lens_training.running.stopping import EXIT_CODE


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache-of-the-user"))
    write_snapshot(tmp_path)
    card = CheckpointCard(trained_on=TrainedOn.PHANTOMS)
    save_checkpoint(tiny_model(), card, tmp_path / "parent")
    return tmp_path


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


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 6},
        {"steps": None, "epochs": 2},
        {"steps": 6, "workers": 2},
        {"steps": 6, "workers": 1, "precision": TrainingPrecision.BF16_MIXED},
        {"steps": 6, "precision": TrainingPrecision.FP16_MIXED},
    ],
)
def test_a_run_that_was_stopped_and_resumed_equals_one_that_was_not(scans: Path, changes: Mapping[str, Any]):
    recipe = RECIPE.model_validate(RECIPE.model_dump() | changes)
    whole = train(scans / "whole", recipe)
    with pytest.raises(TrainingStoppedError):
        train(scans / "parts", recipe, StoppingStream(step=3))
    assert last_state(scans / "parts")["global_step"] == 3
    resumed = train(scans / "parts", recipe, resume=True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    finished = train(scans / "parts", recipe, resume=True)
    assert all(torch.equal(whole[name], finished[name]) for name in whole)


def test_the_number_of_workers_may_change_when_a_run_is_resumed(scans: Path):
    whole = train(scans / "whole")
    with pytest.raises(TrainingStoppedError):
        train(scans / "parts", RECIPE.with_options({"workers": 2}), StoppingStream(step=2))
    resumed = train(scans / "parts", RECIPE, resume=True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize("precision", [TrainingPrecision.BF16_MIXED, TrainingPrecision.FP16_MIXED])
def test_mixed_precision_computes_in_fewer_bits_but_keeps_its_weights_in_32(scans: Path, precision: TrainingPrecision):
    full, mixed = train(scans / "full"), train(scans / "mixed", RECIPE.with_options({"precision": precision}))
    assert {value.dtype for value in mixed.values()} <= {torch.float32, torch.int64}
    assert not torch.equal(full["head.fc6.weight"], mixed["head.fc6.weight"])
    torch.testing.assert_close(full["head.fc6.weight"], mixed["head.fc6.weight"], rtol=0, atol=5e-3)


def test_a_step_with_infinite_gradients_is_skipped_in_half_precision_and_the_scale_saved(scans: Path):
    heavy = {"precision": TrainingPrecision.FP16_MIXED, "losses": {"proposal": {"centre": 3e3}}}
    weights = train(scans / "out", RECIPE.with_options(heavy))
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert 0 < last_state(scans / "out")["MixedPrecision"]["scale"] < 2**16


def test_gradients_that_stay_infinite_in_half_precision_end_the_run(scans: Path):
    hopeless = {
        "precision": TrainingPrecision.FP16_MIXED,
        "losses": {"proposal": {"centre": 1e30}},
        "checkpoint_every": 1000,
    }
    with pytest.raises(TrainingError, match=f"gradient of step {MOST_SKIPPED_STEPS} is"):
        train(scans / "out", RECIPE.with_length(steps=100).with_options(hopeless))


def test_a_gradient_that_is_not_finite_ends_the_run_before_it_spoils_the_weights(scans: Path):
    with pytest.raises(TrainingError, match="gradient of step 0 is inf"):
        train(scans / "out", RECIPE.with_options({"losses": {"proposal": {"centre": 1e38}}}))
    assert not (scans / "out" / LAST_CHECKPOINT).exists()


def test_epochs_show_every_batch_of_the_plan_that_often(scans: Path):
    recipe = RECIPE.with_length(epochs=3)
    train(scans / "out", recipe)
    series = training_set(Snapshot.load(scans / "snapshot.json"), {"scans": scans})
    assert last_state(scans / "out")["global_step"] == 3 * BatchPlan(series, recipe.sampling, 0).batches_per_epoch


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


def test_a_person_at_a_terminal_sees_a_bar_and_may_stop_with_ctrl_c(scans: Path):
    seen, written = pty.openpty()
    command = [sys.executable, "-m", "lens_training", *arguments(scans, "out", "--steps", "100000")]
    with subprocess.Popen(command, stdout=written, stderr=subprocess.PIPE, text=True) as process:
        os.close(written)
        shown = b""
        while not (scans / "out" / LAST_CHECKPOINT).exists():
            shown += read_terminal(seen)
        process.send_signal(signal.SIGINT)
        while part := read_terminal(seen):
            shown += part
        _, said = process.communicate(timeout=120)
    os.close(seen)
    assert process.returncode == EXIT_CODE
    assert "Training" in shown.decode()
    assert "/1000" in shown.decode()
    assert "{" not in shown.decode()
    assert "--resume" in said
    assert "Traceback" not in said


def read_terminal(descriptor: int) -> bytes:
    """Return what was written to a terminal; nothing once nobody writes to it any more."""
    try:
        return os.read(descriptor, 2**16)
    except OSError:  # Linux says so when the other end is closed
        return b""


@pytest.mark.parametrize("learnt", ["last.ckpt", "card.json", "first-round/last.ckpt"])
def test_a_folder_with_a_run_in_it_is_left_as_it_is_until_somebody_says_what_to_do(scans: Path, learnt: str):
    path = scans / "out" / learnt
    path.parent.mkdir(parents=True)
    path.write_text("of many hours")
    refused = invoke(arguments(scans, "out"))
    assert refused.exit_code == 1
    assert f"holds a run already, with {learnt}" in refused.output
    assert path.read_text() == "of many hours"
    assert not (scans / "out" / "error.json").exists()
    assert invoke(arguments(scans, "out", "--anew")).exit_code == 0


def test_resuming_another_run_is_refused(scans: Path):
    assert invoke(arguments(scans, "out")).exit_code == 0
    other = invoke(arguments(scans, "out", "--resume", "--seed", "7"))
    assert other.exit_code == 1
    assert "belongs to another run" in other.output
    assert "Begin the run anew" in json.loads((scans / "out" / "error.json").read_text())["remedy"]


def test_a_run_that_the_disk_has_ended_says_how_it_goes_on(scans: Path):
    def no_file_larger_than_a_tenth_of_the_checkpoint() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    command = [sys.executable, "-m", "lens_training", *arguments(scans, "out")]
    limit = no_file_larger_than_a_tenth_of_the_checkpoint
    ended = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert "last.ckpt cannot be written" in ended.stderr
    assert ended.stderr.rstrip().endswith("Then go on with the same command and --resume.")
    told = json.loads((scans / "out" / "error.json").read_text())
    assert told["can_go_on"]
    assert "--resume" not in told["remedy"]


FORGETFUL = RECIPE.sampling.model_copy(update={"cache_gib": 1e-9})
"""No scan has room in memory."""


@pytest.mark.parametrize("options", [(), ("--workers", "2"), ("--init", "none")])
def test_packed_scans_without_room_in_memory_are_kept_where_the_user_keeps_caches(
    scans: Path, options: tuple[str, ...]
):
    done = invoke(arguments(scans, "out", *options, sampling=FORGETFUL))
    assert done.exit_code == 0, done.output
    assert len(list((scans / "cache-of-the-user" / "lens-napari" / "training-slices" / "slices").iterdir())) == 4
    assert "whole for each sample" not in done.stderr


def test_packed_scans_are_kept_in_the_folder_that_is_given_or_in_that_of_the_recipe(scans: Path):
    own = FORGETFUL.model_copy(update={"slice_cache": scans / "own"})
    for out, options in {"given-out": ("--cache", str(scans / "given")), "own-out": ()}.items():
        done = invoke(arguments(scans, out, *options, sampling=own))
        assert done.exit_code == 0, done.output
    for folder in (scans / "given" / "training-slices", scans / "own"):
        assert len(list((folder / "slices").iterdir())) == 4
    assert not (scans / "cache-of-the-user").exists()


def test_a_folder_that_takes_no_slices_is_named_once_and_the_run_goes_on(scans: Path):
    (scans / "file").write_text("no folder", encoding="utf-8")
    given = arguments(scans, "out", "--cache", str(scans / "file"), "--workers", "2", sampling=FORGETFUL)
    command = [sys.executable, "-m", "lens_training", *given]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count(f"The slice cache {scans / 'file' / 'training-slices'} takes no more scans") == 1


def test_a_missing_scan_ends_the_run_with_one_message_that_names_it(scans: Path):
    (scans / "b.nii.gz").unlink()
    done = invoke(arguments(scans, "out"))
    assert done.exit_code == 1
    assert "Series b: 1 of 1 files of the series are gone" in done.output
    assert "b.nii.gz" not in done.output  # a file may have a patient's name
    assert "Traceback" not in done.output


def test_a_scan_that_a_worker_cannot_read_ends_the_run_with_the_same_message(scans: Path):
    (scans / "b.nii.gz").unlink()
    done = invoke(arguments(scans, "out", "--workers", "2", sampling=FORGETFUL))
    assert done.exit_code == 1
    assert "Series b: 1 of 1 files of the series are gone" in done.output
    assert "b.nii.gz" not in done.output  # a file may have a patient's name
    assert "Traceback" not in done.output
    assert json.loads((scans / "out" / "error.json").read_text())["remedy"]


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


PUBLISHED = {
    "detector": DetectorRecipe(size=DetectorSize.PUBLISHED, two_stages=False),
    "initial_weights": InitialWeights.IMAGENET,
    "schedule": ScheduleRecipe(learning_rate=1e-9),
}
"""Hardly learns, so that its weights remain those that it began with."""


@pytest.fixture
def from_scratch(scans: Path) -> Callable[..., Result]:
    """Return a function that trains the published network for one step, from whatever weights."""

    def fit_one_step(out: str, *more: str) -> Result:
        return invoke(arguments(scans, out, "--init", "none", "--steps", "1", *more, **PUBLISHED))

    return fit_one_step


def test_training_from_scratch_begins_with_published_weights_from_a_file(
    scans: Path, from_scratch: Callable[..., Result]
):
    state, file = densenet121(), scans / "densenet121.pth"
    torch.save(state, file)
    done = from_scratch("out", "--weights", str(file))
    assert done.exit_code == 0, done.output
    assert "random" not in done.stderr
    trunk = load_checkpoint(scans / "out")[0].backbone.trunk.state_dict()
    for name in ("features.conv0.weight", "features.denseblock3.denselayer24.conv2.weight"):
        torch.testing.assert_close(trunk[name], state[name], rtol=0, atol=1e-6)
    torch.save(densenet121(seed=1), file)
    other = from_scratch("out", "--weights", str(file), "--resume")
    assert other.exit_code == 1
    assert "belongs to another run" in other.stderr


@pytest.mark.parametrize(("options", "is_warned"), [((), True), (("--weights", "none"), False)])
def test_random_weights_where_the_recipe_means_published_ones_are_told_unless_asked_for(
    from_scratch: Callable[..., Result], options: tuple[str, ...], is_warned: bool
):
    done = from_scratch("out", *options)
    assert done.exit_code == 0, done.output
    assert ("this run with random ones" in done.stderr) == is_warned


def test_published_weights_do_not_go_with_a_checkpoint(scans: Path):
    done = invoke(arguments(scans, "out", "--weights", "densenet121.pth"))
    assert done.exit_code == 1
    assert f"--weights densenet121.pth was given with --init {scans / 'parent'}" in done.stderr


def test_published_weights_that_are_not_there_end_the_run_with_their_name(scans: Path):
    done = invoke(arguments(scans, "out", "--init", "none", "--weights", str(scans / "densenet121.pth")))
    assert done.exit_code == 1
    assert "densenet121.pth" in done.stderr
