from pathlib import Path

import pytest
import torch

from lens_engine.checkpoint_card import (
    WEIGHTS_NAME,
    CheckpointCard,
    NetworkKind,
    TrainedOn,
    demo_checkpoint_folder,
    read_card,
    shipped_embedding_folder,
)
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.errors import CheckpointError
from lens_engine.lesion_embedding.checkpoint import load_embedding, save_embedding
from lens_engine.mining.settings import MiningSettings

CARD = CheckpointCard(trained_on=TrainedOn.PHANTOMS, recipe="phantom-embedding")
PATCHES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 50
BOXES = torch.tensor([[8.0, 10, 16, 22], [2, 3, 20, 30]])


def test_a_loaded_network_says_the_same(tmp_path: Path, tiny_network):
    written = save_embedding(tiny_network, CARD, tmp_path)
    loaded, card = load_embedding(tmp_path)
    assert card == written == read_card(tmp_path)
    assert card.network is NetworkKind.LESION_EMBEDDING
    assert loaded.config == tiny_network.config
    assert torch.equal(loaded(PATCHES, BOXES).embedding, tiny_network(PATCHES, BOXES).embedding)


def test_a_detector_is_no_lesion_embedding_and_the_other_way_round(tmp_path: Path, tiny_network):
    save_embedding(tiny_network, CARD, tmp_path)
    with pytest.raises(CheckpointError, match=r"holds a lesion embedding network.*detector network is needed"):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds a detector network.*lesion embedding network is needed"):
        load_embedding(demo_checkpoint_folder())


def test_the_embedding_that_ships_is_small_and_says_what_it_is():
    folder = shipped_embedding_folder()
    network, card = load_embedding(folder)
    assert (folder / WEIGHTS_NAME).stat().st_size <= 2 * 2**20
    assert (card.trained_on, card.recipe) == (TrainedOn.PHANTOMS, "phantom-embedding")
    assert "Not LesaNet" in card.notice
    assert "never on patients" in card.notice
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    assert {"match precision", "match recall"} <= set(card.metrics)
    assert card.distance_limit is not None
    assert card.distance_limit.measured_on == "12 validation phantoms"
    assert card.distance_limit.comparisons >= MiningSettings().min_calibration_pairs
