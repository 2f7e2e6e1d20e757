"""A disk without space, played by a limit on the size of files in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.projects.store_samples import BOX, AddSeries, MakeDecision, sections

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn
from lens_engine.findings import Verdict
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.candidates import Candidates
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.detections import Detections
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import Models

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")

PREAMBLE = """
import resource, sys
from pathlib import Path
import numpy as np
from lens_engine.errors import StoreError
from lens_engine.findings import FUSED, Candidate, CandidateKind, Finding
from lens_engine.project import Project
from lens_engine.proposals import Proposals, SeriesDetections
from lens_engine.store.candidates import Candidates
from lens_engine.store.database import Database
from lens_engine.snapshot import LabelSet
from lens_engine.store.detections import Detections
from lens_engine.store.models.model_versions import Models
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.lesion_embedding.vector_files import VectorFiles
from lens_engine.mining.looks import SeriesVectors

database = Database.open(Project.open(Path(sys.argv[1])))
series, LIMIT = int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
try:
    {action}
except StoreError as error:
    sys.exit(f"refused: {{error}}")
"""

WRITE_DETECTIONS = """
    count = 100_000
    random = np.random.default_rng(0)
    Detections(database).write(series, "v1", SeriesDetections(Proposals(
        ("universal", FUSED), 2.0, 1.0, np.ones(count, np.int16), np.zeros(count, np.int32),
        random.random((count, 4)).astype(np.float32), random.random(count).astype(np.float32),
        random.random((count, 4)).astype(np.float32)), ()))
"""

WRITE_CANDIDATES = """
    finding = Finding(FUSED, (0.0, 0.0, 0.0, 1.0, 1.0, 1.0), (), 0.5, {"x" * 500: 0.5})
    candidates = [Candidate(series, finding, CandidateKind.UNCERTAIN, ())] * 2000
    Candidates(database).replace_open("v1", candidates, [0.5] * 2000)
"""

WRITE_EMBEDDINGS = """
    vectors = SeriesVectors({}, {}, np.arange(1000), np.zeros((1000, 100), np.float32))
    VectorFiles(Path(sys.argv[1]) / "embeddings", "network", "v1").write(str(series), vectors)
"""

FREEZE = "Snapshots(database).freeze(LabelSet.ORIGINAL)"


def refusal(project: Path, series_id: int, action: str, limit: int = 200_000) -> str:
    code = PREAMBLE.format(action=action.strip())
    done = subprocess.run(
        [sys.executable, "-c", code, str(project), str(series_id), str(limit)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return done.stderr


def test_detections_are_whole_or_absent(database: Database, add_series: AddSeries) -> None:
    series = add_series("a")
    message = refusal(database.project.folder, series.id, WRITE_DETECTIONS)
    assert message.startswith("refused: ")
    assert "Free space" in message
    assert not Detections(database).exists(series.id, "v1")
    assert [path for path in database.project.detections_folder.rglob("*") if path.is_file()] == []


def test_mining_run_is_whole_or_absent(database: Database, add_series: AddSeries, make_decision: MakeDecision) -> None:
    series = add_series("a")
    kept = Decisions(database).add(make_decision(series.id, Verdict.ADDED))
    message = refusal(database.project.folder, series.id, WRITE_CANDIDATES)
    assert message.startswith("refused: ")
    assert "free space" in message
    assert Candidates(database).queue(split=None, include_decided=True) == ()
    assert Decisions(database).current() == (kept,)


def test_embeddings_of_annotations_are_whole_or_absent(database: Database, add_series: AddSeries) -> None:
    series = add_series("a")
    message = refusal(database.project.folder, series.id, WRITE_EMBEDDINGS)
    assert f"embeddings of series {series.id} cannot be written" in message
    assert list((database.project.folder / "embeddings").iterdir()) == []


def test_snapshot_is_whole_or_absent(database: Database, add_series: AddSeries) -> None:
    series = add_series("a")
    new = NewAnnotation(series.id, BOX, sections(BOX), AnnotationRole.LABEL, AnnotationOrigin.DRAWN)
    Annotations(database).add([new])
    message = refusal(database.project.folder, series.id, FREEZE, limit=100)
    assert "snapshot cannot be written" in message
    assert list(database.project.snapshots_folder.iterdir()) == []
    assert Snapshots(database).all() == ()


def test_model_is_whole_or_absent(database: Database, add_series: AddSeries, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(CheckpointCard(trained_on=TrainedOn.PHANTOMS).model_dump_json())
    (tmp_path / "weights.safetensors").write_bytes(bytes(500_000))
    action = f"Models(database).register(Path({str(tmp_path)!r}))"
    message = refusal(database.project.folder, add_series("a").id, action)
    assert "model cannot be copied" in message
    assert Models(database).all() == ()
    assert list(database.project.models_folder.iterdir()) == []
