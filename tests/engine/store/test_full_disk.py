"""A disk without space, played by a limit on the size of files in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
from store_samples import AddSeries, MakeDecision

from lens_engine.findings import Verdict
from lens_engine.store.candidates import Candidates
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.detections import Detections

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
from lens_engine.store.detections import Detections

database = Database.open(Project.open(Path(sys.argv[1])))
series = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    {action}
except StoreError as error:
    sys.exit(f"refused: {{error}}")
"""

WRITE_DETECTIONS = """
    count = 100_000
    random = np.random.default_rng(0)
    Detections(database).write(series, "v1", SeriesDetections(Proposals(
        ("universal", FUSED), 2.0, 1.0, np.zeros(count, np.int16), np.zeros(count, np.int32),
        random.random((count, 4)).astype(np.float32), random.random(count).astype(np.float32),
        random.random((count, 4)).astype(np.float32)), ()))
"""

WRITE_CANDIDATES = """
    finding = Finding(FUSED, (0.0, 0.0, 0.0, 1.0, 1.0, 1.0), (), 0.5, {"x" * 500: 0.5})
    candidates = [Candidate(series, finding, CandidateKind.UNCERTAIN, ())] * 2000
    Candidates(database).replace_open("v1", candidates, [0.5] * 2000)
"""


def refusal(project: Path, series_id: int, action: str) -> str:
    code = PREAMBLE.format(action=action.strip())
    done = subprocess.run(
        [sys.executable, "-c", code, str(project), str(series_id)],
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
    assert Candidates(database).latest_run() is None
    assert Decisions(database).current() == (kept,)
