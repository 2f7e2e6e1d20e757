"""A project mines with its own lesion embedding where one was brought in."""

from pathlib import Path

import pytest
import torch

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn, demo_checkpoint_folder, shipped_embedding_folder
from lens_engine.errors import CheckpointError
from lens_engine.lesion_embedding.checkpoint import load_embedding, save_embedding
from lens_engine.lesion_embedding.config import narrow_embedding
from lens_engine.lesion_embedding.network import EmbeddingNetwork
from lens_engine.project import Project
from lens_engine.store.models.lesion_embedding import bring_in_embedding, embedding_folder


@pytest.fixture
def other_embedding(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    save_embedding(EmbeddingNetwork(narrow_embedding(2)), CheckpointCard(trained_on=TrainedOn.NOTHING), tmp_path / "a")
    return tmp_path / "a"


def test_without_one_of_its_own_a_project_uses_the_one_that_ships(tmp_path: Path):
    assert embedding_folder(Project.create(tmp_path / "project")) == shipped_embedding_folder()


def test_what_was_brought_in_is_used_and_the_next_one_takes_its_place(tmp_path: Path, other_embedding: Path):
    project = Project.create(tmp_path / "project")
    for source in (shipped_embedding_folder(), other_embedding):
        card = bring_in_embedding(project, source)
        assert embedding_folder(project) == project.folder / "lesion-embedding"
        assert load_embedding(embedding_folder(project))[1] == card
    assert sorted(path.name for path in project.embedding_folder.iterdir()) == ["card.json", "weights.safetensors"]


def test_a_detector_is_refused_and_changes_nothing(tmp_path: Path):
    project = Project.create(tmp_path / "project")
    with pytest.raises(CheckpointError, match=r"holds a detector network.*lesion embedding network is needed"):
        bring_in_embedding(project, demo_checkpoint_folder())
    assert embedding_folder(project) == shipped_embedding_folder()


def test_weights_that_do_not_fit_their_card_are_refused(tmp_path: Path, other_embedding: Path):
    project = Project.create(tmp_path / "project")
    (other_embedding / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(CheckpointError, match="digest"):
        bring_in_embedding(project, other_embedding)
    assert not project.embedding_folder.exists()
