"""A recipe mines with the embedding it names, else with the best one at hand, and says which one that was."""

from pathlib import Path

import pytest
import torch

from lens_engine.checkpoint_card import (
    CheckpointCard,
    MeasuredLimit,
    TrainedOn,
    demo_checkpoint_folder,
    shipped_embedding_folder,
)
from lens_engine.errors import CheckpointError
from lens_engine.lesion_embedding.checkpoint import save_embedding
from lens_engine.lesion_embedding.config import narrow_embedding
from lens_engine.lesion_embedding.network import EmbeddingNetwork
from lens_training.reproduction.recipe_embedding import FALLBACK, choose_embedding


def trained(runs: Path, name: str) -> str:
    """Leave an embedding where `lens recipe embed` would, and return the digest of its weights."""
    limit = MeasuredLimit(value=0.2, comparisons=300, measured_on="phantoms")
    card = CheckpointCard(trained_on=TrainedOn.PATIENTS, recipe=name, distance_limit=limit)
    with torch.random.fork_rng():
        torch.manual_seed(len(name))
        return save_embedding(EmbeddingNetwork(narrow_embedding(2)), card, runs / name).weights_digest


def test_the_named_embedding_is_taken_from_where_it_was_trained(tmp_path: Path):
    trained(tmp_path, FALLBACK)
    weights = trained(tmp_path, "lesanet")
    chosen = choose_embedding("lesanet", tmp_path)
    assert (chosen.folder, chosen.used.recipe, chosen.used.weights) == (tmp_path / "lesanet", "lesanet", weights)
    assert chosen.used.distance_limit is not None
    assert f"lesanet ({weights[:12]}), as the recipe says" in chosen.used.note


def test_without_it_the_fallback_is_taken_and_without_that_the_one_that_ships(tmp_path: Path):
    shipped = choose_embedding("lesanet", tmp_path)
    assert shipped.folder == shipped_embedding_folder()
    assert f"lesanet, which the recipe names, is not in {tmp_path / 'lesanet'}" in shipped.used.note
    assert "never on patients" in shipped.used.note
    trained(tmp_path, FALLBACK)
    fallback = choose_embedding("lesanet", tmp_path)
    assert fallback.folder == tmp_path / FALLBACK
    assert "lesanet, which the recipe names, is not in" in fallback.used.note


def test_the_one_that_ships_is_at_hand_under_its_own_name_whatever_lies_there(tmp_path: Path):
    trained(tmp_path, "phantom-embedding")
    assert choose_embedding("phantom-embedding", tmp_path).folder == shipped_embedding_folder()


def test_a_given_folder_goes_before_all_and_has_to_hold_an_embedding(tmp_path: Path):
    weights = trained(tmp_path, "own")
    chosen = choose_embedding("lesanet", tmp_path, tmp_path / "own")
    assert chosen.used.weights == weights
    assert "as was asked for; the recipe names lesanet" in chosen.used.note
    with pytest.raises(CheckpointError, match="lesion embedding network is needed here"):
        choose_embedding("lesanet", tmp_path, demo_checkpoint_folder())
    with pytest.raises(CheckpointError, match="cannot be read"):
        choose_embedding("lesanet", tmp_path, tmp_path / "none")
