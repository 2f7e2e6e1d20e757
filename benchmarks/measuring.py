"""What measuring keeps in memory of the findings of a data set, whose files it reads one after another."""

import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.measure import Growth
from lens_engine.evaluation.report import EvaluationSettings, evaluate_findings
from lens_engine.evaluation.truth import CaseTruth
from lens_engine.findings import FUSED, Finding, SliceBox
from lens_engine.io.detections_file import read_findings, write_detections
from lens_engine.proposals import Proposals, SeriesDetections

CASES = 40
FINDINGS = 300
"""Of a case."""
SLICES = 4
"""Of a finding."""


class _Stored(Mapping[str, Sequence[Finding]]):
    """Findings of cases, read from one file whenever they are asked for."""

    def __init__(self, path: Path, cases: int) -> None:
        self._path, self._cases = path, cases

    def __getitem__(self, case: str) -> Sequence[Finding]:
        return read_findings(self._path)

    def __iter__(self) -> Iterator[str]:
        return iter([f"case {number}" for number in range(self._cases)])

    def __len__(self) -> int:
        return self._cases


def growth() -> list[Growth]:
    """Return the peak of measuring, as a share of what all findings together would take."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "findings.parquet"
        write_detections(path, SeriesDetections(_nothing(), tuple(_finding(number) for number in range(FINDINGS))))
        as_objects = _peak_bytes(lambda: [read_findings(path) for _ in range(CASES)])
        measured = _peak_bytes(lambda: _measure(_Stored(path, CASES)))
    name = f"memory of measuring {CASES} cases of {FINDINGS} findings"
    return [Growth(name, "all findings", as_objects / 2**20, "measured from files", measured / 2**20, "MiB", 0.5)]


def _measure(findings: _Stored) -> None:
    truths = {name: CaseTruth(name, np.asarray([[10.0, 10, 2, 30, 30, 6]])) for name in findings}
    evaluate_findings(findings, truths, (), EvaluationSettings(rounds=10, overlap_thresholds=(0.3,)))


def _peak_bytes(run: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _finding(number: int) -> Finding:
    x1, y1 = float(number), float(number) / 2
    slices = tuple(SliceBox(2 + index, (x1, y1, x1 + 20, y1 + 20), 0.5) for index in range(SLICES))
    box = (x1, y1, 2.0, x1 + 20, y1 + 20, 2.0 + SLICES)
    return Finding(FUSED, box, slices, 0.9 - number / 1000, {"universal": 0.5, "lung": 0.4})


def _nothing() -> Proposals:
    none = np.zeros(0, np.float32)
    columns = np.zeros(0, np.int16), np.zeros(0, np.int32), none.reshape(0, 4), none, none.reshape(0, 0)
    return Proposals(("universal", FUSED), 2.0, 2.0, *columns)
