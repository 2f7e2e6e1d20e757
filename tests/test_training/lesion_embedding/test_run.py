"""A recipe of an embedding from phantoms to a checkpoint whose card says what it is worth."""

import io
import json
from pathlib import Path

import pytest

from lens_engine.checkpoint_card import read_card
from lens_engine.jobs.names import LAST_CHECKPOINT
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
