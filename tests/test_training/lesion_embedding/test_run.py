"""A recipe of an embedding from phantoms to a checkpoint whose card says what it is worth."""

import io
import json
from pathlib import Path

import pytest
from support.files.downloads import write_downloads
from support.training.training_runs import StoppingStream
from typer.testing import CliRunner

from lens_engine.checkpoint_card import read_card
from lens_engine.jobs.names import LAST_CHECKPOINT
from lens_training.cli.app import app
from lens_training.errors import TrainingStoppedError
from lens_training.lesion_embedding.run import PHANTOM, RESULTS_FILE, EmbeddingRequest, run_embedding
from lens_training.recipes.lesion_embedding import load_embedding_recipe
from lens_training.running.progress import ProgressLog
from lens_training.running.runner import Reports
from lens_training.running.stopping import StopSignal

QUICK = """
size: narrow
likeness: lesions
epochs: 1
batch_size: 4
looks: 2
triplets: 50
hard_entries: 20
threads: 1
phantoms: {patients: 1, val_patients: 2, studies: 2, places: 4}
"""


@pytest.mark.slow
def test_the_card_says_what_was_measured_and_too_few_comparisons_give_no_limit(tmp_path: Path):
    (tmp_path / "quick.yaml").write_text(QUICK)
    folder = tmp_path / "out"
    folder.mkdir()
    request = EmbeddingRequest(load_embedding_recipe(str(tmp_path / "quick.yaml")), PHANTOM, folder)
    report = run_embedding(request, Reports(ProgressLog(io.StringIO(), None), StopSignal()))
    assert report is not None
    assert json.loads((folder / RESULTS_FILE).read_text())["wanted"] == report.wanted
    card = read_card(folder)
    assert (card.recipe, card.metrics) == ("quick", report.metrics)
    assert card.distance_limit is None
    assert "Only" in report.limit_note
    assert (folder / LAST_CHECKPOINT).exists()


def test_the_folder_of_another_recipe_is_refused_as_it_is(tmp_path: Path):
    (tmp_path / "recipe.yaml").write_text("name: L2-c\n")
    (tmp_path / LAST_CHECKPOINT).write_text("of a detector")
    command = ["recipe", "embed", "phantom-embedding", "--out", str(tmp_path)]
    said = {"--anew": "holds a run of recipe L2-c, and this one is phantom-embedding", "": "of recipe L2-c already"}
    for option, words in said.items():
        refused = CliRunner().invoke(app, [*command, *option.split()])
        assert refused.exit_code == 1
        assert words in refused.stderr
    assert (tmp_path / "recipe.yaml").read_text() == "name: L2-c\n"
    assert (tmp_path / LAST_CHECKPOINT).read_text() == "of a detector"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lesanet", "--data", "DeepLesion"], "Give --labels FOLDER"),
        (["lesanet"], "Choose phantom-embedding"),
        (["deeplesion-without-reports", "--data", "nowhere"], "nowhere"),
    ],
)
def test_a_refused_embedding_makes_no_folder(tmp_path: Path, arguments: list[str], said: str):
    refused = CliRunner().invoke(app, ["recipe", "embed", *arguments, "--out", str(tmp_path / "out")])
    assert refused.exit_code == 1
    assert said in refused.stderr
    assert not (tmp_path / "out").exists()


def test_a_listing_of_scans_for_an_embedding_can_be_stopped(tmp_path: Path):
    write_downloads(tmp_path)
    stream, stop = StoppingStream(1, "prepare"), StopSignal()
    stop.listen()
    recipe = load_embedding_recipe("deeplesion-without-reports")
    reports = Reports(ProgressLog(stream, None, interval_seconds=0), stop)
    with pytest.raises(TrainingStoppedError):
        run_embedding(EmbeddingRequest(recipe, str(tmp_path / "DeepLesion"), tmp_path / "out"), reports)
    assert not (tmp_path / "out").exists()
