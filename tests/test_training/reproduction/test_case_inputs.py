"""What a strategy compares in a case is embedded once by one network, from real voxels."""

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.training.training_scenes import Ball, case_of, key_slice_lesion

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn, shipped_embedding_folder
from lens_engine.findings import FUSED
from lens_engine.lesion_embedding.checkpoint import load_embedding, save_embedding
from lens_engine.lesion_embedding.config import narrow_embedding
from lens_engine.lesion_embedding.embedding import LesionEmbedder, embed_lesions
from lens_engine.lesion_embedding.network import EmbeddingNetwork
from lens_engine.lesion_embedding.vector_files import VectorFiles
from lens_engine.mining.looks import compared_rows, places_of
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.strategies.choice import StrategySettings
from lens_engine.mining.strategies.lens import LensSettings
from lens_engine.mining.strategies.meld import MeldSettings
from lens_engine.proposals import Proposals
from lens_training.datasets.case import Case
from lens_training.reproduction.case_annotations import annotations_of
from lens_training.reproduction.case_detections import CaseDetections, DetectionFiles
from lens_training.reproduction.case_inputs import CaseInputs, RoundFiles, embed_cases
from lens_training.reproduction.recipe_embedding import UsedEmbedding
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal


@dataclass
class Scene:
    """One detected case, and the embedding that is used."""

    cases: tuple[Case, ...]
    detections: DetectionFiles
    network: Path

    @property
    def files(self) -> RoundFiles:
        card = LesionEmbedder(self.network, "cpu").card
        used = UsedEmbedding(recipe=card.recipe, weights=card.weights_digest, distance_limit=None, note="by this one")
        vectors = VectorFiles(self.detections.folder / "embeddings", card.weights_digest, self.detections.fingerprint)
        return RoundFiles(self.detections, vectors, used)

    @property
    def vector_file(self) -> Path:
        return self.detections.folder / "embeddings" / f"{self.cases[0].name}.npz"

    def embed(self, settings: StrategySettings) -> list[dict[str, object]]:
        """Embed, and return what was reported."""
        shown = io.StringIO()
        log = ProgressLog(shown, None, interval_seconds=0)
        embed_cases(self.cases, self.files, settings, LesionEmbedder(self.network, "cpu"), log, StopSignal())
        return [json.loads(line) for line in shown.getvalue().splitlines()]


SEEN_ON = range(3, 9)


def seen(ball: Ball) -> Proposals:
    """See a ball on some slices, which lie on the grid."""
    count, half = len(SEEN_ON), ball.diameter / 2
    box = [ball.x - half, ball.y - half, ball.x + half, ball.y + half]
    return Proposals(
        experts=("universal", FUSED),
        grid_spacing_mm=4.0,
        slice_spacing_mm=4.0,
        expert_index=np.ones(count, np.int16),
        grid_index=np.asarray(SEEN_ON, np.int32),
        boxes=np.tile(np.asarray([box], np.float32), (count, 1)),
        scores=np.full(count, 0.5, np.float32),
        embeddings=np.zeros((count, 0), np.float32),
    )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    ball = Ball(30, 34, 6, 14)
    case = replace(case_of("universal", key_slice_lesion(ball)), name="scan")
    detections = DetectionFiles(tmp_path, "these boxes")
    detections.write(case, CaseDetections(seen(ball)))
    return Scene((case,), detections, shipped_embedding_folder())


def test_annotations_and_compared_boxes_get_the_vectors_that_projects_compute(scene: Scene):
    messages = scene.embed(LensSettings())
    assert {message["embedding"] for message in messages if message["stage"] == "embed"} == {"by this one"}
    (case,) = scene.cases
    network, volume = load_embedding(scene.network)[0], case.load()
    (series,) = CaseInputs(scene.cases, scene.files).of([0])
    (note,) = series.annotations
    assert note.embedding is not None
    place = note.recognised_by
    expected = embed_lesions(network, volume, [(place.slice_index, place.box)])
    np.testing.assert_allclose(note.embedding, expected[0], atol=1e-5)
    proposals = scene.detections.read(case).proposals
    rows = compared_rows(proposals, annotations_of(case), MiningSettings())
    assert [SEEN_ON[row] for row in rows] == [5, 7]  # the centre, and both neighbours of the mark
    vectors = series.proposals.embeddings
    np.testing.assert_allclose(vectors[rows], embed_lesions(network, volume, places_of(proposals, rows)), atol=1e-5)
    assert not np.delete(vectors, rows, axis=0).any()


def test_what_is_embedded_is_left_alone_and_more_boxes_or_another_network_embed_anew(scene: Scene, tmp_path: Path):
    scene.embed(LensSettings())
    first = scene.vector_file.stat().st_mtime_ns
    scene.embed(LensSettings())
    assert scene.vector_file.stat().st_mtime_ns == first
    scene.embed(MeldSettings(sampling_mm=1))
    assert scene.vector_file.stat().st_mtime_ns > first
    assert scene.files.vectors is not None
    assert len(scene.files.vectors.read("scan").rows) == len(SEEN_ON)
    torch.manual_seed(5)
    card = CheckpointCard(trained_on=TrainedOn.NOTHING)
    other = save_embedding(EmbeddingNetwork(narrow_embedding(2)), card, tmp_path / "other")
    scene.network = tmp_path / "other"
    scene.embed(LensSettings())
    with np.load(scene.vector_file) as stored:
        assert str(stored["network"]) == other.weights_digest


def test_a_strategy_that_matches_nothing_embeds_nothing(scene: Scene):
    bare = RoundFiles(scene.detections)
    log = ProgressLog(None, None)
    embed_cases(scene.cases, bare, LensSettings(), LesionEmbedder(scene.network, "cpu"), log, StopSignal())
    assert not scene.vector_file.exists()
    (series,) = CaseInputs(scene.cases, bare).of([0])
    assert series.annotations[0].embedding is None
