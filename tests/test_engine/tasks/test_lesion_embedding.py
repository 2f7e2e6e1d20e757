"""Mining embeds with one network, the project's own or the one that ships, and compares no vectors of two."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.projects.worker_project import EXPERTS

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn, shipped_embedding_folder
from lens_engine.errors import StoreError
from lens_engine.findings import FUSED
from lens_engine.io.series import read_volume
from lens_engine.lesion_embedding.checkpoint import load_embedding, save_embedding
from lens_engine.lesion_embedding.config import narrow_embedding
from lens_engine.lesion_embedding.embedding import embed_lesions
from lens_engine.lesion_embedding.network import EmbeddingNetwork
from lens_engine.lesion_embedding.vector_files import VectorFiles
from lens_engine.mining.looks import compared_rows, places_of
from lens_engine.mining.settings import MiningSettings
from lens_engine.proposals import Proposals, SeriesDetections
from lens_engine.store.annotations import AnnotationRole, Annotations
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.store.models.lesion_embedding import bring_in_embedding
from lens_engine.tasks.workbench import Workbench
from lens_engine.worker.messages import CalibrateRules, EmbedAnnotations


def boxes_on(slices: range) -> Proposals:
    count = len(slices)
    return Proposals(
        experts=(*EXPERTS, FUSED),
        grid_spacing_mm=4.0,
        slice_spacing_mm=4.0,
        expert_index=np.full(count, len(EXPERTS), np.int16),
        grid_index=np.asarray(slices, np.int32),
        boxes=np.tile(np.asarray([[29.0, 27, 39, 37]], np.float32), (count, 1)),
        scores=np.full(count, 0.5, np.float32),
        embeddings=np.ones((count, 16), np.float32),
    )


@pytest.fixture
def other_embedding(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    save_embedding(EmbeddingNetwork(narrow_embedding(2)), CheckpointCard(trained_on=TrainedOn.NOTHING), tmp_path / "a")
    return tmp_path / "a"


def embed(database: Database, folder: Path, series_id: int) -> dict[str, object]:
    return Workbench(database.project, folder).run(
        EmbedAnnotations(series_id=series_id, model_version="v1"), lambda *_: None
    )


def test_known_lesions_and_compared_boxes_get_the_vectors_of_the_embedding_network(database: Database, tmp_path: Path):
    series = Catalog(database).all_series()[0]
    proposals = boxes_on(range(10, 15))
    Detections(database).write(series.id, "v1", SeriesDetections(proposals, ()))
    embed(database, tmp_path, series.id)
    network, card = load_embedding(shipped_embedding_folder())
    stored = VectorFiles(tmp_path / "embeddings", card.weights_digest, "v1").read(str(series.id))
    embedded = stored.of_boxes(proposals)
    rows = compared_rows(proposals, (), MiningSettings())
    assert embedded.embeddings.any(axis=1).nonzero()[0].tolist() == rows.tolist() == [2]
    assert series.source is not None
    volume = read_volume(series.source)
    expected = embed_lesions(network, volume, places_of(proposals, rows))
    np.testing.assert_allclose(embedded.embeddings[rows], expected, atol=1e-5)
    (label,) = Annotations(database).of_series(series.id, AnnotationRole.LABEL)
    vector = stored.annotations[label.id]
    middle = label.slices[len(label.slices) // 2]
    np.testing.assert_allclose(vector, embed_lesions(network, volume, [(middle.slice_index, middle.box)])[0], atol=1e-5)


def test_a_series_is_embedded_again_only_by_another_network(database: Database, tmp_path: Path, other_embedding: Path):
    series = Catalog(database).all_series()[0]
    Detections(database).write(series.id, "v1", SeriesDetections(boxes_on(range(10, 15)), ()))
    assert [embed(database, tmp_path, series.id)["skipped"] for _ in range(2)] == [False, True]
    bring_in_embedding(database.project, other_embedding)
    assert embed(database, tmp_path, series.id)["skipped"] is False
    assert embed(database, tmp_path, series.id)["skipped"] is True


def test_vectors_of_another_network_are_refused_and_never_compared(
    database: Database, tmp_path: Path, other_embedding: Path
):
    series = Catalog(database).all_series()[0]
    Detections(database).write(series.id, "v1", SeriesDetections(boxes_on(range(10, 15)), ()))
    embed(database, tmp_path, series.id)
    card = bring_in_embedding(database.project, other_embedding)
    task = CalibrateRules(series_ids=(series.id,), model_version="v1")
    with pytest.raises(StoreError, match=rf"now uses {card.weights_digest[:12]}; vectors of two networks"):
        Workbench(database.project, tmp_path).run(task, lambda *_: None)
