"""Recipes run from data to numbers: every one builds and learns, and one of each kind goes the whole way."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.files.downloads import write_downloads
from support.files.published_data import (
    BRIGHT,
    FEET_FIRST,
    MANUAL_ROW,
    deeplesion_row,
    nodule_row,
    save_metaimage,
    save_pngs,
    scene,
    write_lits,
    write_manual_test,
    write_nih_ln,
    write_table,
)
from support.processes import recipe_rank_program
from support.processes.command_line import lens
from support.processes.ranks import outcomes, run_ranks
from support.processes.waiting import wait_for_end
from support.training.training_scenes import Ball, case_of, key_slice_lesion, lesion_of, set_of, volume_with
from typer.testing import CliRunner, Result

from lens_engine.checkpoint_card import TrainedOn, read_card
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.detector.false_positive_reduction.checkpoint import load_network
from lens_engine.findings import FUSED, Split
from lens_engine.jobs.inputs import DetectInputs
from lens_engine.jobs.queue import DbosJobQueue
from lens_engine.jobs.status import JobState
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_training.cli.app import app
from lens_training.datasets.published.catalogue import LAYOUTS
from lens_training.datasets.published.reading import DatasetName, ReadingOptions
from lens_training.detector.batches import BatchMaker
from lens_training.detector.initial import new_model
from lens_training.detector.module import DetectorTraining
from lens_training.detector.planes import PlaneCache
from lens_training.detector.sampling import BatchPlan
from lens_training.recipes.files import Scale, load_recipe, recipe_names
from lens_training.recipes.recipe import MeasuredPart, Recipe
from lens_training.reproduction.data import EXPERT_OF_PHANTOMS, recipe_data
from lens_training.reproduction.mined_labels import load_mined
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal

ROWS = [name for name in recipe_names() if load_recipe(name).row is not None]
BALL = Ball(30, 34, 6, 14)

QUICK = """
title: A short run
initial_weights: none
epochs: null
steps: 6
threads: 1
detector: {size: narrow}
schedule: {learning_rate: 1.0e-3}
sampling: {regions: 16, proposals: 16}
augmentation: {crop_side: 64}
log_every: 2
checkpoint_every: 2
phantoms: {universal_patients: 1, single_type_patients: 1, val_patients: 1}
"""


def lens_training(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def experts_of(recipe: Recipe) -> tuple[str, ...]:
    return tuple(EXPERT_OF_PHANTOMS[name] for name in recipe.datasets)


def quick(folder: Path, parent: str) -> Path:
    path = folder / "quick.yaml"
    path.write_text(f"inherits: {parent}\n{QUICK}")
    return path


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_builds_its_published_detector(name: str):
    recipe = load_recipe(name)
    with torch.device("meta"):
        model = LensDetector(recipe.detector.config(experts_of(recipe)))
    assert model.config.proposal.kind is recipe.detector.proposal
    assert (model.head is not None) == recipe.detector.two_stages


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_learns_from_a_batch_of_64_pixels(name: str):
    recipe = load_recipe(name, Scale.TINY)
    recipe = recipe.with_options({"augmentation": recipe.augmentation.model_copy(update={"crop_side": 64})})
    labels = key_slice_lesion(BALL), lesion_of(BALL)
    known = [name for name in ("universal", "lung") if name in experts_of(recipe)]
    cases = (case_of(name, label, volume=volume_with(BALL)) for name, label in zip(known, labels, strict=False))
    training_set = set_of(*cases)
    model = new_model(experts_of(recipe), recipe.detector, seed=0)
    plan = BatchPlan(training_set, recipe.sampling, seed=0)
    cache = PlaneCache(training_set.cases, 2**28)
    maker = BatchMaker(training_set, cache, plan, model.config, recipe.augmentation, seed=0)
    batch = maker.batch(0)
    assert batch.images.shape[2:] == (64, 64)
    training = DetectorTraining(model, recipe, steps=1, seed=0).train()
    loss = training.training_step(batch, 0)
    loss.backward()
    weight = model.backbone.trunk.features.get_submodule("conv0").weight
    assert isinstance(weight, torch.Tensor)
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


@pytest.mark.slow
@pytest.mark.parametrize("parent", ["L2-a", "L3-3"])
def test_a_recipe_on_phantoms_leaves_a_measured_checkpoint_tables_and_pictures(tmp_path: Path, parent: str):
    out = tmp_path / "out"
    result = lens_training("recipe", "run", quick(tmp_path, parent), "--out", out)
    assert result.exit_code == 0, result.output
    card = read_card(out)
    assert card.trained_on is TrainedOn.PHANTOMS
    assert card.steps == 6
    recipe = load_recipe(parent)
    model, _ = load_checkpoint(out)
    assert model.config.experts == experts_of(recipe)
    results = json.loads((out / "results.json").read_text())
    outputs = {item["output"]: item for item in results["groups"]["phantoms"]["outputs"]}
    assert set(outputs) == {*experts_of(recipe), "fused"}
    average = outputs["fused"]["rules"][0]["average"]["value"]
    assert card.metrics["fused average sensitivity IoBB 0.3"] == pytest.approx(average, abs=1e-4)
    assert results["published"]["average"] == recipe.row.average if recipe.row else False
    assert "cannot be compared" in result.stdout
    for name in ("froc.png", "results.txt", "recipe.yaml", "log.jsonl"):
        assert (out / name).stat().st_size > 0
    assert len(list((out / "overlays").glob("*.png"))) == 1


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """Return the recipe file of both networks, what it left in `out` beside it, and what was printed."""
    folder = tmp_path_factory.mktemp("judged")
    path = quick(folder, "lens-fpr")
    more = "datasets: [deeplesion]\nfalse_positive_reduction: {size: narrow, epochs: 1, batch_size: 4}\n"
    path.write_text(path.read_text().replace("1.0e-3", "2.0e-3") + more)
    return path, lens_training("recipe", "run", path, "--out", folder / "out", "--steps", "300")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_false_positive_reduction_is_trained_on_the_detectors_findings_and_measured_beside_it(
    judged: tuple[Path, Result],
):
    path, result = judged
    out = path.parent / "out"
    assert result.exit_code == 0, result.output
    written = json.loads((out / "results.json").read_text())
    results = written["groups"]["phantoms"]["outputs"]
    assert written["output"] == "fused + FPR"
    assert {"fused", "fused + FPR", "FPR alone"} <= {item["output"] for item in results}
    assert "fused + FPR" in result.stdout
    network, card = load_network(out / "false-positive-reduction")
    assert card.parent == "quick"
    assert not network.training


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_a_recipe_trained_detects_in_a_project_under_the_names_of_its_data_sets(
    judged: tuple[Path, Result],
    database: Database,
    jobs: DbosJobQueue,
    start_worker: Callable[..., subprocess.Popen[bytes]],
):
    out = judged[0].parent / "out"
    added = lens("-p", database.project.folder, "models", "--add", out, "--rename", "universal=ct", "--promote", "v2")
    assert added.returncode == 0, added.stderr
    assert "with false-positive reduction trained on phantoms" in " ".join(added.stdout.split())
    series = Catalog(database).all_series()[0]
    start_worker()
    job = jobs.submit(DetectInputs(series_ids=(series.id,), model_version="v2"))
    status = wait_for_end(jobs, job)
    assert status.state is JobState.DONE, status.error
    found = Detections(database).read(series.id, "v2")
    assert found.proposals.experts == ("ct", FUSED)
    fused = [finding for finding in found.findings if finding.expert == FUSED]
    assert all(finding.detector_score is not None for finding in fused)
    assert f"false-positive reduction judged {len(fused)} fused findings again" in jobs.log_file(job).read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_another_seed_trains_another_false_positive_reduction(judged: tuple[Path, Result]):
    path = judged[0]
    again = lens_training("recipe", "run", path, "--out", path.parent / "out", "--steps", "1", "--seed", "1", "--anew")
    assert "belongs to another run" not in again.stderr
    assert "None of the detector's findings" in again.stderr  # of one step; it has come as far as looking for them


@pytest.mark.slow
def test_a_finished_recipe_is_kept_until_told_otherwise_and_resumed_gives_the_same_weights(tmp_path: Path):
    out = tmp_path / "out"
    command = ["recipe", "run", quick(tmp_path, "L2-a"), "--out", out]
    first = lens_training(*command)
    assert first.exit_code == 0, first.output
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    refused = lens_training(*command)
    assert refused.exit_code == 1
    assert "holds a run of recipe quick already, with card.json" in refused.stderr
    assert "Leave out --anew to keep" in lens_training(*command, "--resume", "--anew").stderr
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    digest = read_card(out).weights_digest
    again = lens_training(*command, "--resume")
    assert again.exit_code == 0, again.output
    assert read_card(out).weights_digest == digest
    anew = lens_training(*command, "--anew", "--seed", "1")
    assert anew.exit_code == 0, anew.output
    assert read_card(out).weights_digest != digest


def test_a_run_that_begins_anew_leaves_nothing_that_the_earlier_one_measured(tmp_path: Path):
    out, recipe, readings = tmp_path / "out", quick(tmp_path, "L2-a"), '[{"made from": "a", "begun": "2026-01-01"}]'
    for part in MeasuredPart:
        (out / part).mkdir(parents=True)
    old = [out / "overlays" / "old.png", *(out / part / "results.txt" for part in MeasuredPart)]
    old += [out / "first-round" / "last.ckpt", out / "false-positive-reduction" / "samples.jsonl"]
    old += [out / "epoch-4" / "card.json", out / "last.ckpt", out / "predictions" / "old" / "case.parquet"]
    old += [out / "results.json"]
    for path in old:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("of the earlier weights")
    (out / "test-readings.json").write_text(readings)

    refused = lens_training("recipe", "run", recipe, "--out", out, "--anew", "--weights", tmp_path / "none.pth")
    assert refused.exit_code == 1
    assert all(path.exists() for path in old)

    done = lens_training("recipe", "run", recipe, "--out", out, "--anew")
    assert done.exit_code == 0, done.output
    assert all(path.read_bytes() != b"of the earlier weights" for path in old if path.exists())
    assert {path.name for path in old if path.exists()} == {"last.ckpt", "results.json"}
    assert json.loads(old[-1].read_text())["recipe"] == "quick"
    assert (out / "test-readings.json").read_text() == readings


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """All four data sets in their published layouts, each with a scan to learn from and one that is held out."""
    folder, volume, options = tmp_path / "data", scene(), ReadingOptions()

    def named(pattern: str, split: Split) -> str:
        return next(name for name in (pattern.format(n) for n in range(1, 90)) if options.split_of(name) is split)

    for series in ("000001_01_01", "000002_01_01"):
        save_pngs(folder / "deeplesion" / "Images_png" / series, volume, 39)
    rows = [deeplesion_row(), deeplesion_row("000002_01_01", Train_Val_Test="3")]
    write_table(folder / "deeplesion" / "DL_info.csv", rows)
    write_manual_test(folder / "deeplesion", MANUAL_ROW, name="000002_01_01_039-052")
    uids = [named("1.2.840.{}", split) for split in (Split.TRAIN, Split.TEST)]
    for uid in uids:
        save_metaimage(folder / "luna16" / "subset0" / f"{uid}.mhd", volume, *FEET_FIRST)
    write_table(folder / "luna16" / "annotations.csv", [nodule_row(uid, volume) for uid in uids])
    for number in range(6):
        write_lits(folder / "lits", volume, ((2, 1, 0), ()), ((2, 1, 0), ()), number)
    for split in (Split.TRAIN, Split.TEST):
        write_nih_ln(folder / "nih-ln", volume, named("MED_LYMPH_{:03d}", split))
    return folder


def test_a_recipe_learns_from_the_published_layouts_and_is_measured_by_every_protocol(tmp_path: Path, published: Path):
    path, out = quick(tmp_path, "L2-c"), tmp_path / "out"
    path.write_text(path.read_text() + "evaluation: {around_key_slices: true}\n")
    result = lens_training("recipe", "run", path, "--data", published, "--out", out)
    assert result.exit_code == 0, result.output
    assert read_card(out).trained_on is TrainedOn.PATIENTS
    groups = json.loads((out / "results.json").read_text())["groups"]
    assert {"manual test set", "key slices of the test split", "luna16, held-out scans"} <= set(groups)
    assert groups["manual test set"]["lesions"] == 1
    assert len(groups["luna16, held-out scans"]["LUNA16 protocol"]["sensitivities"]) == 7
    on_key_slices = groups["key slices of the test split"]["fused"]
    assert np.isfinite(on_key_slices["average"])
    assert len(on_key_slices["Wang"]["sensitivities"]) == 5
    assert on_key_slices["Wang"]["average"] <= np.mean(on_key_slices["sensitivities"][:5]) + 1e-9
    assert np.isfinite(groups["around the key slices of the test split"]["fused"]["P3D average per volume"])
    assert [item["output"] for item in groups["luna16, held-out scans"]["outputs"]] == ["luna16"]
    assert "LENS Table II" in result.stdout
    assert "cannot be compared" not in result.stdout


@pytest.mark.slow
def test_all_processes_of_a_run_measure_its_cases_and_the_first_one_tells(tmp_path: Path, published: Path):
    assert published == tmp_path / "data"
    named = {"name": "000002_01_01_039-052", "empty": ["000002_01_01_039-051"]}  # one for each process
    write_manual_test(published / "deeplesion", MANUAL_ROW, **named)
    quick(tmp_path, "L2-a")
    run_ranks(recipe_rank_program, tmp_path)
    first, second = outcomes(tmp_path, "first")
    assert first["measured"]
    assert second["measured"]
    assert second["metrics"] is None
    assert first["metrics"] == dict(read_card(tmp_path / "out").metrics)
    again = outcomes(tmp_path, "again")[0]
    assert again["metrics"] == first["metrics"]
    assert not again["measured"], "what is measured is not measured again"


def test_what_cannot_be_used_is_told_with_the_results(tmp_path: Path, published: Path):
    next((published / "lits").rglob("segmentation-0.nii*")).unlink()
    path, out = quick(tmp_path, "L2-c"), tmp_path / "out"
    path.write_text(path.read_text() + "datasets: [lits]\n")
    result = lens_training("recipe", "run", path, "--data", published, "--out", out)
    assert result.exit_code == 0, result.output
    assert "left out of lits: 1 x mask missing" in result.stdout
    assert json.loads((out / "results.json").read_text())["left out"] == {"lits": {"mask missing": 1}}
    assert list((out / "listing").glob("lits-*.json")), "what the masks said is not kept beside the run"
    said = (out / "log.jsonl").read_text()
    assert "of lits that were looked at lie on voxels that can hardly be such lesions" in said, (
        "they are as dense as bone"
    )


@pytest.mark.slow
def test_a_scan_that_cannot_be_read_is_left_out_of_learning_and_mining_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    write_downloads(tmp_path / "data")
    (tmp_path / "data" / "DeepLesion" / "Images_png" / "000001_02_01" / "045.png").write_bytes(b"cut off")
    path, out = quick(tmp_path, "L2-g"), tmp_path / "out"
    more = "datasets: [deeplesion]\nmining: {settings: {distance_limit: 2}}\n"
    path.write_text(path.read_text().replace("proposals: 16}", "proposals: 16, unreadable_share: 0.5}") + more)
    result = lens_training("recipe", "run", path, "--data", tmp_path / "data", "--out", out)
    assert result.exit_code == 0, result.output
    named = [record.getMessage() for record in caplog.records if "is left out" in record.getMessage()]
    assert len(named) == 3, "by both trainings and by the detection between them"
    assert all(said.startswith("Scan 000001_02_01_039-052 is left out (1 of at most 1)") for said in named)
    mined = load_mined(out / "first-round" / "labels.jsonl")
    assert [labels.case for labels in mined.labels] == ["000001_01_01_039-052"]


def test_a_recipe_of_one_single_type_data_set_compares_its_own_expert(tmp_path: Path, published: Path):
    path, out = quick(tmp_path, "L2-c"), tmp_path / "out"
    path.write_text(path.read_text() + "datasets: [luna16]\n")
    result = lens_training("recipe", "run", path, "--data", published, "--out", out)
    assert result.exit_code == 0, result.output
    assert json.loads((out / "results.json").read_text())["output"] == "luna16"


def test_what_was_derived_is_kept_for_the_next_run_and_measuring_can_be_done_in_half_precision(
    tmp_path: Path, published: Path
):
    cache, options = tmp_path / "cache", ("--data", published, "--out", tmp_path / "out", "--inference", "bf16")
    result = lens_training("recipe", "run", quick(tmp_path, "L2-c"), *options, "--cache", cache)
    assert result.exit_code == 0, result.output
    assert list(cache.rglob("*.json"))


def test_the_margin_of_tight_boxes_is_a_choice_of_the_recipe(tmp_path: Path, published: Path):
    path = quick(tmp_path, "L2-c")
    path.write_text(path.read_text() + "reading: {tight_margin_voxels: 0}\n")
    log = ProgressLog(None, None)
    data = recipe_data(load_recipe(str(path)), str(published), log, StopSignal())
    (group,) = (group for group in data.groups if group.expert == "lits")
    x1, _, _, x2, _, _ = group.cases[0].truth[0]
    assert (x1, x2) == (BRIGHT[0], BRIGHT[3])


def test_the_data_sets_may_have_the_names_of_their_downloads_and_what_they_lack_is_told(
    tmp_path: Path, published: Path, caplog: pytest.LogCaptureFixture
):
    recipe, stop = load_recipe("L2-c"), StopSignal()
    before = recipe_data(recipe, str(published), ProgressLog(None, None), stop)
    for ours, theirs in {"deeplesion": "DeepLesion", "lits": "LITS", "nih-ln": "CT Lymph Nodes"}.items():
        (published / ours).rename(tmp_path / "renamed")
        (tmp_path / "renamed").rename(published / theirs)
    after = recipe_data(recipe, str(published), ProgressLog(None, None), stop)
    assert after.digest == before.digest
    assert [len(group.cases) for group in after.groups] == [len(group.cases) for group in before.groups]
    assert any("luna16 is not whole: " in record.getMessage() for record in caplog.records)
    assert not any("lits is not whole: " in record.getMessage() for record in caplog.records)
    (published / "LITS" / "volume-1.nii").write_bytes(b"half a download")
    recipe_data(recipe, str(published), ProgressLog(None, None), stop)
    told = [record.getMessage() for record in caplog.records if "lits is not whole: " in record.getMessage()]
    assert "1 x file that cannot be read, first volume-1.nii" in told[0]


def test_a_missing_data_set_is_named_with_its_layout(tmp_path: Path, published: Path):
    (published / "lits").rename(tmp_path / "elsewhere")
    result = lens_training("recipe", "run", quick(tmp_path, "L2-c"), "--data", published, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "has no folder lits" in result.stderr
    assert LAYOUTS[DatasetName.LITS] in result.stderr


def test_a_published_recipe_asks_where_the_imagenet_weights_are(tmp_path: Path):
    result = lens_training("recipe", "run", "L2-a", "--scale", "published", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "--weights FILE" in result.stderr


@pytest.mark.parametrize("option", ["--weights", "--fpr-weights"])
def test_weights_that_are_not_there_are_refused_before_the_data_are_read(tmp_path: Path, option: str):
    missing, out = tmp_path / "weights.pth", tmp_path / "out"
    result = lens_training("recipe", "run", "L2-a", "--data", tmp_path / "no data", option, missing, "--out", out)
    assert result.exit_code == 1
    assert f"{option} got {missing}" in result.stderr


def test_a_refused_run_leaves_the_folder_as_it_was(tmp_path: Path):
    refused = ("recipe", "run", "L2-a", "--weights", tmp_path / "lost.pth", "--out")
    (tmp_path / "log.jsonl").write_text("an earlier run\n")
    assert lens_training(*refused, tmp_path).exit_code == 1
    assert (tmp_path / "log.jsonl").read_text() == "an earlier run\n"
    assert "lost.pth" in json.loads((tmp_path / "error.json").read_text())["happened"]
    assert lens_training(*refused, tmp_path / "new").exit_code == 1
    assert lens_training("recipe", "run", "nosuch", "--out", tmp_path / "new").exit_code == 1
    assert not (tmp_path / "new").exists()


def test_under_torchrun_only_the_first_process_writes_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    places = {"TORCHELASTIC_RUN_ID": "a", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}
    for name, value in places.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "error.json").write_text("of the first process")
    assert lens_training("recipe", "run", "nosuch", "--out", tmp_path).exit_code == 1
    assert (tmp_path / "error.json").read_text() == "of the first process"


def test_a_folder_whose_log_cannot_be_written_is_refused(tmp_path: Path):
    (tmp_path / "log.jsonl").mkdir()
    result = lens_training("recipe", "run", "L2-a", "--out", tmp_path)
    assert result.exit_code == 1
    assert "log.jsonl cannot be written" in result.stderr


def test_a_recipe_without_phantoms_says_how_it_is_used(tmp_path: Path):
    result = lens_training("recipe", "run", "from-scratch", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "fit --recipe from-scratch" in result.stderr


def test_the_list_shows_every_row_with_its_published_average():
    result = lens_training("recipe", "list")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in ROWS)
    assert "36.8 %" in result.stdout


def test_a_data_set_is_checked_from_the_shell(published: Path, tmp_path: Path):
    odd = tmp_path / "odd.csv"
    result = lens_training("data", "check", "deeplesion", published / "deeplesion", "--odd", odd)
    assert result.exit_code == 0, result.output
    assert "32,735" in result.stdout
    assert odd.read_text().startswith("place,oddity")


def test_a_folder_without_the_data_set_is_refused_with_its_layout(tmp_path: Path):
    result = lens_training("data", "check", "luna16", tmp_path)
    assert result.exit_code == 1
    assert "subset0" in result.stderr
