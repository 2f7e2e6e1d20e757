import json
from datetime import UTC, datetime

import numpy as np
import pytest
from support.projects.worker_project import EXPERTS, LESION

from lens_engine.findings import FUSED, Decision, Finding, SliceBox, Split, Verdict
from lens_engine.proposals import Proposals, SeriesDetections
from lens_engine.store.catalog import Catalog
from lens_engine.store.decisions import Decisions
from lens_engine.store.detections import Detections
from lens_engine.store.models.model_versions import Models
from lens_engine.tasks.evaluation import evaluate_models
from lens_engine.worker.messages import EvaluateModels

ELSEWHERE = (5.0, 5.0, 20.0, 9.0, 9.0, 24.0)


def detections(expert, box, score):
    x1, y1, z1, x2, y2, z2 = box
    slices = tuple(SliceBox(index, (x1, y1, x2, y2), score) for index in range(int(z1), int(z2)))
    empty = Proposals(
        experts=(*EXPERTS, FUSED),
        grid_spacing_mm=4.0,
        slice_spacing_mm=4.0,
        expert_index=np.zeros(0, np.int16),
        grid_index=np.zeros(0, np.int32),
        boxes=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        embeddings=np.zeros((0, 16), np.float32),
    )
    return SeriesDetections(empty, (Finding(expert, box, slices, score),))


@pytest.fixture
def evaluate(database, tmp_path, tiny_checkpoint):
    """Evaluate v1, which finds nothing right, against v2, which finds the lesion with its fusion."""
    card = json.loads((tiny_checkpoint / "card.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    (other / "weights.safetensors").write_bytes((tiny_checkpoint / "weights.safetensors").read_bytes())
    (other / "card.json").write_text(json.dumps({**card, "seed": 7}))
    Models(database).register(other, parent="v1")
    (series,) = Catalog(database).all_series(split=Split.TEST)
    Detections(database).write(series.id, "v1", detections(FUSED, ELSEWHERE, 0.9))
    Detections(database).write(series.id, "v2", detections(FUSED, LESION, 0.8))
    task = EvaluateModels(series_ids=(series.id,), model_versions=("v1", "v2"), split=Split.TEST)
    return lambda: evaluate_models(database, task, lambda done, total: None)


def test_a_model_that_finds_the_lesion_beats_one_that_does_not(evaluate):
    result = evaluate()
    for rule in ("IoBB", "IoU"):
        assert result.average_sensitivity["v1"][rule].value == 0
        assert result.average_sensitivity["v2"][rule].value == 1
        assert result.difference["v2"][rule].value == 1


def test_every_expert_is_measured_by_both_rules(evaluate, database):
    evaluate()
    (stored,) = Models(database).evaluations("v2")
    assert stored.result["experts"].keys() == {*EXPERTS, FUSED}
    fused = stored.result["experts"][FUSED]["IoU"]
    assert fused["sensitivity_at"]["0.125"] == 1
    assert fused["points"] == {"false_positives": [0.0], "sensitivity": [1.0]}
    assert stored.result["experts"]["lung"]["IoBB"]["average_sensitivity"]["value"] == 0
    assert (stored.result["series"], stored.result["lesions"], stored.result["compared_with"]) == (1, 1, "v1")
    assert json.loads(json.dumps(stored.result, allow_nan=False)) == stored.result


def test_the_same_evaluation_gives_the_same_intervals(evaluate):
    assert evaluate() == evaluate()


def test_lesions_that_readers_accepted_are_true_too(evaluate, database):
    (series,) = Catalog(database).all_series(split=Split.TEST)
    reader = {"reader": "Reader A", "decided_at": datetime(2026, 3, 1, tzinfo=UTC)}
    Decisions(database).add(Decision(series.id, None, Verdict.ACCEPTED, ELSEWHERE, (), **reader))
    result = evaluate()
    assert result.lesions == 2
    assert result.average_sensitivity["v1"]["IoU"].value == 0.5
