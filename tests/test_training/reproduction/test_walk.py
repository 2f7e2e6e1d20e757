"""The walk of docs/training.md, as it is written: from downloads to the rows of LENS Table II, on small folders.

Its commands run in their order with the options that they have there; the long ones get options behind these that make
a training short.
"""

import json
import pickle
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support.files.densenet121_weights import densenet121
from support.files.downloads import PARTS, write_downloads
from support.files.lesanet_files import write_label_files
from support.processes.command_line import lens
from support.processes.waiting import wait_until
from typer.testing import CliRunner

from lens_engine.checkpoint_card import read_card
from lens_engine.findings import FUSED
from lens_engine.io.annotations.imported import TestSetPart as Part
from lens_engine.jobs.environment import process_environment
from lens_training.cli.app import app
from lens_training.recipes.files import load_recipe, read_fields, recipe_names
from lens_training.recipes.lesion_embedding import EMBEDDING_RECIPES
from lens_training.recipes.recipe import EvaluatedOutput, PublishedRow
from lens_training.reproduction.measuring.measurer import FPR_ALONE, WITH_FPR
from lens_training.reproduction.recipe_embedding import choose_embedding
from lens_training.running.stopping import EXIT_CODE

PAGE = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
WALK = PAGE[PAGE.index("## From downloads to LENS Table II") : PAGE.index("## A published row with one command")]
BLOCKS = re.findall(r"^```(sh|yaml)\n(.*?)^```", WALK, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
ROWS = [line for line in COMMANDS if line.startswith("lens recipe run L2-") and "--resume" not in line]
GIVEN = {
    run: dict(re.findall(r"(L2-\S+) `([^`]+)`", rows))
    for run, rows in re.findall(r"^\| (L2-\S+) \| (L2-.*?) \|", WALK, re.MULTILINE)
}
"""Which output of a run is which row, as the page says."""

(TEST_NAME,) = (name for name, part in PARTS.items() if part is Part.TEST)
SHORT = "--scale", "tiny", "--precision", "32-true", "--weights", "none", "--fpr-weights", "none", "--steps"
STEPS = {"L2-base": 4, "L2-h": 150}
"""Of the runs that are tried first; what judges findings again learns something only where the lesion is found."""
SHORT_EMBEDDINGS = {"lesanet": 2, "deeplesion-without-reports": 4}
"""Batch sizes for a few lesions."""


def words_of(line: str, folder: Path) -> list[str]:
    """Return a command of the page behind `lens`, with the data where they lie here, and its training made short."""
    program, *words = shlex.split(line.replace("/data/", f"{folder}/"))
    assert program == "lens"
    match words:
        case ["recipe", "embed", name, *rest]:
            return ["recipe", "embed", f"{name}.yaml", *rest]
        case ["recipe", "run", name, *_] if name != "trial.yaml":
            return [*words, *SHORT, str(STEPS.get(name, 4))]
    return words


def run(words: list[str]) -> str:
    """Run a command to its end, in this process where the libraries are loaded, and return what it said."""
    if words == ["doctor"]:
        told = lens(*words)
        assert told.returncode == 0, told.stderr
        return told.stdout
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, f"{words}\n{result.output}"
    return result.output


def interrupted(words: list[str], log: Path) -> str:
    """Press Ctrl+C once a command learns, and return what it said."""
    command = [sys.executable, "-m", "lens_training", *words]
    process = subprocess.Popen(
        command, env=process_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: log.exists() and '"train"' in log.read_text(encoding="utf-8"), "the run learns")
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == EXIT_CODE, said
    return said


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which everything is typed, with what is brought there; the downloads lie beside it."""
    folder = tmp_path_factory.mktemp("walk") / "study"
    folder.mkdir()
    write_downloads(folder.parent / "lesions")
    write_label_files(folder.parent / "LesaNet" / "program_data")
    torch.save(densenet121(), folder / "densenet121.pth")
    (trial,) = (block for kind, block in BLOCKS if kind == "yaml")
    assert "steps: 20" in trial
    (folder / "trial.yaml").write_text(trial.replace("steps: 20", "steps: 1"), encoding="utf-8")
    for name, batch_size in SHORT_EMBEDDINGS.items():
        short = {"size": "narrow", "epochs": 1, "threads": 1, "batch_size": batch_size}
        fields = read_fields(EMBEDDING_RECIPES / f"{name}.yaml") | short
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    return folder


def values_in(results: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    return values


def outputs_in(values: dict[str, Any], group: str) -> set[str]:
    return {item["output"] for item in values["groups"][group]["outputs"]}


@pytest.mark.slow
def test_the_walk_leads_from_downloads_to_rows(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study)
    said: dict[str, str] = {}
    for line in COMMANDS:
        words = words_of(line, study.parent)
        if line not in ROWS:
            said[line] = run(words)
        elif words[2] == "L2-h":
            said[line] = interrupted(words, study / "runs" / "L2-h" / "log.jsonl")
        elif words[2] in STEPS:
            said[line] = run(words)
        if "data check" in line:
            listed = {path: path.stat().st_mtime_ns for path in (study / "cache").glob("*.json")}

    for line in COMMANDS:
        if "data check" in line:
            assert said[line].endswith("Nothing is odd.\n"), said[line]
            assert ("median HU inside the labels" in said[line]) == ("--voxels" in line)
    assert {path: path.stat().st_mtime_ns for path in (study / "cache").glob("*.json")} == listed
    runs = study / "runs"
    assert choose_embedding("lesanet", runs).used.recipe == "lesanet"
    assert read_card(runs / "deeplesion-without-reports").recipe == "deeplesion-without-reports"

    trial = values_in(runs / "trial" / "results.json")
    assert trial["part"] == "val"
    assert not (runs / "trial" / "test-readings.json").exists()
    assert load_recipe("L2-c").row == PublishedRow.model_validate(trial["published"])

    assert values_in(runs / "L2-base" / "results.json")["published"]["average"] == 33.9
    last = values_in(runs / "L2-h" / "results.json")
    assert outputs_in(last, "manual test set") >= set(GIVEN["L2-h"].values())
    assert last["mining"]["embedding"]["recipe"] == "phantom-embedding", "that of the tiny scale"
    assert last["times the test part was read"] == 1
    assert values_in(runs / "L2-h" / "val" / "results.json")["part"] == "val"
    with (runs / "L2-h" / "predictions-test.pkl").open("rb") as file:
        exported = pickle.load(file)["test"]
    assert {name: boxes.shape[1] for name, boxes in exported.items()} == {TEST_NAME: 7}


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in ROWS if line.split()[3] not in STEPS])
def test_the_other_rows_go_from_downloads_to_results(study: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.chdir(study)
    words = words_of(line, study.parent)
    run(words)
    values = values_in(study / "runs" / words[2] / "results.json")
    assert outputs_in(values, "manual test set") >= set(GIVEN[words[2]].values())


OUTPUTS = {
    EvaluatedOutput.FUSED: FUSED,
    EvaluatedOutput.UNIVERSAL: "deeplesion",
    EvaluatedOutput.WITH_FPR: WITH_FPR,
    EvaluatedOutput.FPR_ALONE: FPR_ALONE,
}


def test_every_row_of_the_table_is_an_output_of_a_run_of_the_walk() -> None:
    """The recipes of the rows of a run differ in nothing that decides its detectors."""
    assert sorted(row for rows in GIVEN.values() for row in rows) == [n for n in recipe_names() if n.startswith("L2-")]
    assert list(GIVEN) == [line.split()[3] for line in ROWS]
    other = {"name", "title", "row", "evaluation", "false_positive_reduction"}
    for name, rows in GIVEN.items():
        for row, output in rows.items():
            recipe = load_recipe(row)
            assert recipe.model_dump(exclude=other) == load_recipe(name).model_dump(exclude=other)
            assert output == OUTPUTS[recipe.evaluation.output]
