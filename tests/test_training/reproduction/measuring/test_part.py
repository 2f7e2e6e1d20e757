"""A finished run is measured on a part of its data, the test part is counted, and its predictions go out."""

import json
import pickle
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.files.published_data import BRIGHT, deeplesion_row, save_pngs, scene, write_table
from support.processes.full_disk import full_disk, needs_file_limit
from support.training.training_scenes import tiny_model
from typer.testing import CliRunner, Result

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn
from lens_engine.detector.checkpoints.checkpoint import save_checkpoint
from lens_engine.io.annotations.imported import TestSetPart as Part
from lens_engine.io.annotations.manual_test_set import ManualSubVolume, write_pickle
from lens_training.cli.app import app
from lens_training.datasets.case import Case
from lens_training.datasets.published.manual_test_set import MANUAL_FILE
from lens_training.recipes.files import load_recipe
from lens_training.recipes.recipe import MeasuredPart
from lens_training.reproduction.case_detections import DetectionFiles
from lens_training.reproduction.data import PHANTOM, measured_part
from lens_training.reproduction.detector_stage import RecipeRun
from lens_training.reproduction.stored_run import forget_earlier_run, store_run
from lens_training.running.stopping import EXIT_CODE

RATES = (0.125, 0.25, 0.5, 1, 2, 4, 8)
PLACES = (10, 0, 39, 25, 47, 43), (36, 20, 42, 52, 47, 48)
"""Two parts of the scan that hold much of what a network without training finds."""
ROW = (*BRIGHT[:2], BRIGHT[2] + 39, BRIGHT[3] - 1, BRIGHT[4] - 1, BRIGHT[5] - 1 + 39)


def lens_recipe(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["recipe", *map(str, arguments)])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DeepLesion with a scan of each split, and the manual test set with both parts."""
    folder = tmp_path_factory.mktemp("data")
    for number in "1234":
        save_pngs(folder / "deeplesion" / "Images_png" / f"00000{number}_01_01", scene(), 39)
    rows = [deeplesion_row(f"00000{n}_01_01", Train_Val_Test=split) for n, split in zip("1234", "1332", strict=True)]
    write_table(folder / "deeplesion" / "DL_info.csv", rows)
    boxes = np.asarray([ROW, *PLACES], dtype=np.float64)
    parts = [
        (Part.TEST, "000002_01_01_039-052"),
        (Part.VAL, "000003_01_01_039-052"),
        (Part.TEST, "000009_01_01_001-009"),
    ]
    write_pickle(
        folder / "deeplesion" / MANUAL_FILE,
        [ManualSubVolume(part, name, boxes if "039" in name else np.zeros((0, 6))) for part, name in parts],
    )
    return folder


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Path:
    """Return what a run of a recipe leaves, with weights that nobody trained."""
    path = tmp_path / "quick.yaml"
    path.write_text("inherits: L2-a\ninitial_weights: none\n")
    out = tmp_path / "out"
    save_weights(out, seed=0)
    store_run(RecipeRun(load_recipe(str(path)), str(data), out))
    return out


def save_weights(out: Path, seed: int) -> None:
    """Write a network that finds something everywhere."""
    model = tiny_model(seed).eval()
    for network in model.proposal_networks():
        network.start_with_sides(3.0)
    save_checkpoint(model, CheckpointCard(trained_on=TrainedOn.PATIENTS, recipe="quick"), out)


def results_in(folder: Path) -> dict[str, object]:
    values: dict[str, object] = json.loads((folder / "results.json").read_text())
    return values


def written(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (out / "predictions").rglob("*.parquet")}


def test_the_validation_part_is_there_to_choose_by_and_not_counted(run: Path) -> None:
    result = lens_recipe("measure", run, "--part", "val")
    assert result.exit_code == 0, result.output
    values = results_in(run / "val")
    assert values["part"] == "val"
    assert set(values["groups"]) == {"manual validation set", "key slices of the validation split"}
    assert values["times the test part was read"] is None
    assert not (run / "results.json").exists()
    assert not (run / "test-readings.json").exists()
    assert (run / "val" / "froc.png").stat().st_size > 0


def test_what_is_left_out_of_a_part_is_told_of_that_part(run: Path, data: Path) -> None:
    lens_recipe("measure", run, "--part", "val")
    assert results_in(run / "val")["left out"] == {"manual test set": {"image missing": 1}}
    shutil.copytree(data, run / "data")
    for image in (run / "data" / "deeplesion" / "Images_png" / "000003_01_01").glob("*.png"):
        image.write_bytes(b"broken")
    result = lens_recipe("measure", run, "--part", "val", "--data", run / "data")
    assert "left out of manual validation set: 1 x " in result.stdout, result.output


def test_a_run_that_begins_anew_has_no_weights_until_it_has_its_own(run: Path) -> None:
    forget_earlier_run(run)
    result = lens_recipe("measure", run, "--part", "val")
    assert result.exit_code == 1
    assert "has no weights yet" in result.stderr


def test_the_test_part_says_how_often_it_was_read(run: Path) -> None:
    result = lens_recipe("measure", run, "--part", "test")
    assert result.exit_code == 0, result.output
    assert results_in(run)["times the test part was read"] == 1
    assert "read once" in result.stdout
    assert "read once" in (run / "results.txt").read_text()
    before = written(run)
    again = lens_recipe("measure", run, "--part", "test")
    assert "read once" in again.stdout
    assert written(run) == before
    lens_recipe("measure", run, "--part", "test", "--inference", "bf16")
    assert results_in(run)["times the test part was read"] == 2
    save_weights(run, seed=1)
    retrained = lens_recipe("measure", run, "--part", "test")
    assert results_in(run)["times the test part was read"] == 3
    assert "read 3 times" in retrained.stdout


def test_a_reading_that_was_stopped_counts_and_is_the_same_one_when_it_goes_on(run: Path) -> None:
    lens_recipe("measure", run, "--part", "test")
    (run / "results.json").unlink()
    lost, *kept = sorted((run / "predictions").rglob("*.parquet"))
    lost.unlink()
    before = {path: path.stat().st_mtime_ns for path in kept}
    assert lens_recipe("measure", run, "--part", "test").exit_code == 0
    assert results_in(run)["times the test part was read"] == 1
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert lost.exists()


def test_a_ctrl_c_while_findings_are_measured_ends_before_results_are_written(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = DetectionFiles.read_findings

    def press(files: DetectionFiles, case: Case) -> object:
        signal.raise_signal(signal.SIGINT)
        return read(files, case)

    with monkeypatch.context() as pressing:
        pressing.setattr(DetectionFiles, "read_findings", press)
        stopped = lens_recipe("measure", run, "--part", "val")
    assert stopped.exit_code == EXIT_CODE, stopped.output
    assert not (run / "val" / "results.json").exists()
    before = written(run)
    assert lens_recipe("measure", run, "--part", "val").exit_code == 0
    assert written(run) == before
    assert (run / "val" / "results.json").exists()


@needs_file_limit
def test_a_disk_that_fills_while_results_are_written_ends_in_words_and_the_same_command_goes_on(run: Path) -> None:
    lens_recipe("measure", run, "--part", "val")
    for path in (run / "val").rglob("*.*"):
        path.unlink()
    before = written(run)
    with full_disk(10_000):
        refused = lens_recipe("measure", run, "--part", "val")
    assert refused.exit_code == 1
    assert "froc.png cannot be written" in refused.stderr
    assert refused.stderr.endswith("Then go on with the same command.\n"), "there is no --resume to give"
    assert json.loads((run / "error.json").read_text())["can_go_on"]
    assert not list((run / "val").rglob("*.*"))
    assert lens_recipe("measure", run, "--part", "val").exit_code == 0
    assert written(run) == before


def test_a_folder_that_cannot_be_made_ends_in_words_and_the_same_command_goes_on(run: Path) -> None:
    (run / "val").write_text("a file in its place")
    refused = lens_recipe("measure", run, "--part", "val")
    assert refused.exit_code == 1
    assert f"{run / 'val'} cannot be written or read: File exists" in refused.stderr
    assert "Traceback" not in refused.stderr
    told = json.loads((run / "error.json").read_text())
    assert told["can_go_on"]
    assert "results.py" in "".join(told["trace"])
    (run / "val").unlink()
    assert lens_recipe("measure", run, "--part", "val").exit_code == 0


def sensitivity_of(boxes: dict[str, NDArray[np.float64]], truth: dict[str, NDArray[np.float64]]) -> list[float]:
    """Measure as the readme of the test set says, box by box; written for this test alone."""

    def share(box: Sequence[float], other: Sequence[float]) -> float:
        sides = [min(box[i + 3], other[i + 3]) - max(box[i], other[i]) + 1 for i in range(3)]
        own = [box[i + 3] - box[i] + 1 for i in range(3)]
        return float(np.prod(np.clip(sides, 0, None)) / np.prod(own))

    ranked = [(box[6], name, box) for name, found in boxes.items() for box in found.tolist()]
    lesions = sum(map(len, truth.values()))
    hit: set[tuple[str, int]] = set()
    wrong, points = 0, []
    for _, name, box in sorted(ranked, key=lambda entry: -entry[0]):
        hits = {(name, n) for n, lesion in enumerate(truth[name].tolist()) if share(box, lesion) >= 0.3}
        wrong += not hits
        hit |= hits
        points.append((wrong / len(truth), len(hit) / lesions))
    false, found = zip(*points, strict=True)
    return np.interp(RATES, false, found, left=0.0).tolist()


def test_the_export_is_what_the_official_script_reads_and_measures_the_same(run: Path, data: Path) -> None:
    lens_recipe("measure", run, "--part", "test")
    result = lens_recipe("export", run)
    assert result.exit_code == 0, result.output
    assert "1 sub-volumes are not in the data set" in result.stdout
    with (run / "predictions-test.pkl").open("rb") as file:
        predicted = pickle.load(file)["test"]
    with (data / "deeplesion" / MANUAL_FILE).open("rb") as file:
        truth = pickle.load(file)["test"]
    assert set(predicted) == set(truth)
    assert {(found.shape[1], found.dtype.name) for found in predicted.values()} == {(7, "float64")}
    own = predicted["000002_01_01_039-052"]
    assert len(own) > 3
    assert own[:, 2].min() >= 39
    assert own[:, 5].max() <= 52
    # One sub-volume is not in the data set; the script counts it, and so do we here.
    report = results_in(run)["groups"]["manual test set"]["outputs"]
    (fused,) = (item for item in report if item["output"] == "fused")
    del truth["000009_01_01_001-009"], predicted["000009_01_01_001-009"]
    sensitivities = fused["rules"][0]["sensitivities"]
    assert max(sensitivities) > 0
    assert min(sensitivities) < max(sensitivities)
    np.testing.assert_allclose(sensitivities, sensitivity_of(predicted, truth))


def test_an_export_needs_no_other_data_set_than_that_of_the_manual_test_set(run: Path, data: Path) -> None:
    lens_recipe("measure", run, "--part", "test")
    path = run.parent / "quick.yaml"
    path.write_text("inherits: L2-a\ninitial_weights: none\ndatasets: [deeplesion, luna16]\n")
    store_run(RecipeRun(load_recipe(str(path)), str(data), run))
    assert "has no folder luna16" in lens_recipe("measure", run, "--part", "test").stderr
    result = lens_recipe("export", run)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(str(run / "predictions-test.pkl"))


def test_a_run_that_never_saw_the_data_set_of_the_manual_test_set_has_nothing_to_export(run: Path, data: Path) -> None:
    path = run.parent / "quick.yaml"
    path.write_text("inherits: L2-c\ninitial_weights: none\ndatasets: [luna16]\n")
    store_run(RecipeRun(load_recipe(str(path)), str(data), run))
    refused = lens_recipe("export", run)
    assert refused.exit_code == 1
    assert "no predictions on the manual test set of DeepLesion" in refused.stderr


def test_an_export_without_predictions_of_these_weights_says_how_to_make_them(run: Path) -> None:
    refused = lens_recipe("export", run)
    assert refused.exit_code == 1
    assert "lens recipe measure" in refused.stderr
    lens_recipe("measure", run, "--part", "test")
    assert "no output 'liver'" in lens_recipe("export", run, "--output", "liver").stderr
    save_weights(run, seed=1)
    refused = lens_recipe("export", run)
    assert "1 of them only of other weights or other settings" in refused.stderr
    assert not (run / "predictions-test.pkl").exists()


def test_folders_that_hold_no_run_or_another_one_are_refused_as_they_are(run: Path, tmp_path: Path) -> None:
    assert "has no recipe.yaml" in lens_recipe("measure", tmp_path / "nowhere").stderr
    assert not (tmp_path / "nowhere").exists()
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert "holds a run of recipe quick already" in lens_recipe("run", "L2-c", "--out", run).stderr
    other = lens_recipe("run", "L2-c", "--out", run, "--anew")
    assert other.exit_code == 1
    assert "holds a run of recipe quick, and this one is L2-c" in other.stderr
    quick = run.parent / "quick.yaml"
    quick.write_text("inherits: L2-a\ninitial_weights: none\nschedule: {weight_decay: 0.1}\n")
    changed = lens_recipe("run", quick, "--out", run, "--resume", "--scale", "published", "--data", tmp_path)
    assert "other values of schedule.weight_decay" in changed.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_weights_of_another_recipe_are_not_measured(run: Path) -> None:
    save_checkpoint(tiny_model().eval(), CheckpointCard(trained_on=TrainedOn.PATIENTS, recipe="L2-c"), run)
    assert "are of recipe L2-c" in lens_recipe("measure", run).stderr
    (run / "card.json").unlink()
    assert "has no weights yet" in lens_recipe("measure", run).stderr


def test_sweeps_and_phantoms_are_measured_on_what_is_there_to_choose_by() -> None:
    assert load_recipe("delta").evaluation.part is load_recipe("sigma").evaluation.part is MeasuredPart.VAL
    assert measured_part(load_recipe("L2-c"), "folder") is MeasuredPart.TEST
    assert measured_part(load_recipe("L2-c"), PHANTOM) is MeasuredPart.VAL
