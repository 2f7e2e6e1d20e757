"""A file of detections says what it was made from, and is whole or not there."""

from pathlib import Path

import numpy as np
import pytest
from support.processes.full_disk import full_disk, needs_file_limit

from lens_engine.findings import FUSED, Finding, SliceBox
from lens_engine.io.detections_file import FAILURES, made_from, read_detections, read_findings, write_detections
from lens_engine.proposals import Proposals, SeriesDetections


def some(count: int) -> SeriesDetections:
    random = np.random.default_rng(0)
    proposals = Proposals(
        ("lung", FUSED), 2.0, 5.0, np.zeros(count, np.int16), np.arange(count, dtype=np.int32),
        random.random((count, 4)).astype(np.float32), random.random(count).astype(np.float32),
        np.zeros((0, 0), np.float32),
    )  # fmt: skip
    finding = Finding("lung", (1, 2, 3, 4, 5, 4), (SliceBox(3, (1, 2, 4, 5), 0.5),), 0.5, {"lung": 0.5}, 0.25)
    return SeriesDetections(proposals, (finding,))


def test_what_is_read_is_what_was_written_and_where_it_came_from(tmp_path: Path) -> None:
    path, written = tmp_path / "below" / "a.parquet", some(7)
    write_detections(path, written, "these weights")
    read = read_detections(path)
    for name in ("experts", "expert_index", "grid_index", "boxes", "scores", "embeddings", "slice_spacing_mm"):
        np.testing.assert_array_equal(getattr(read.proposals, name), getattr(written.proposals, name))
    assert read.findings == read_findings(path) == written.findings
    assert made_from(path) == "these weights"
    write_detections(path, written)
    assert made_from(path) == ""


@pytest.mark.parametrize("content", [None, b"PAR1 half a file"])
def test_a_file_that_is_not_whole_raises_what_is_announced(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.parquet"
    if content is not None:
        path.write_bytes(content)
    for read in (read_detections, read_findings, made_from):
        with pytest.raises(FAILURES):
            read(path)


@needs_file_limit
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_detections(path, some(1), "old")
    with full_disk(5_000), pytest.raises(FAILURES):
        write_detections(path, some(5000), "new")
    assert made_from(path) == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.parquet"]
