"""What a model version finds in another precision belongs to a version of its own."""

from pathlib import Path

import numpy as np
import pytest

from lens_engine.checkpoint_card import DetectionPrecision
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.detector.inference.predict import detect
from lens_engine.detector.inference.whole_volume import InferencePrecision, InferenceSettings
from lens_engine.errors import ConfigError
from lens_engine.io.series import read_volume
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.store.models.model_versions import Models
from lens_engine.tasks.workbench import Workbench
from lens_engine.worker.messages import DetectSeries


def ignore(done: int, total: int) -> None:
    """Take progress for nothing."""


def test_what_bf16_finds_is_stored_beside_what_fp32_has_found(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    other = Models(database).in_precision("v1", DetectionPrecision.BF16)
    series, bench = Catalog(database).all_series()[0], Workbench(database.project, tmp_path)
    for version in ("v1", other.version, "v1"):
        bench.run(DetectSeries(series_id=series.id, model_version=version), ignore)
    model, volume = load_checkpoint(other.folder)[0], read_volume(series.source)
    for version, precision in (("v1", InferencePrecision.FP32), (other.version, InferencePrecision.BF16)):
        stored = Detections(database).read(series.id, version)
        found = detect(model, volume, settings=InferenceSettings(precision))
        np.testing.assert_array_equal(stored.proposals.scores, found.proposals.scores)
        np.testing.assert_array_equal(stored.proposals.boxes, found.proposals.boxes)
        assert f"{version} looks in {precision}; NMS by plain torch, ROIAlign by plain torch" in caplog.text
    scores = [Detections(database).read(series.id, version).proposals.scores for version in ("v1", other.version)]
    assert not np.array_equal(*scores)


def test_a_network_that_cannot_be_compiled_as_asked_is_not_run_uncompiled(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    series = Catalog(database).all_series()[0]
    with pytest.raises(ConfigError, match="no-such-compiler is missing"):
        Workbench(database.project, tmp_path).run(
            DetectSeries(series_id=series.id, model_version="v1", compiles=True), ignore
        )
    assert not Detections(database).exists(series.id, "v1")
