import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.projects.store_samples import AddSeries, detections_of

from lens_engine.errors import ProjectError, StoreError
from lens_engine.findings import FUSED
from lens_engine.proposals import SeriesDetections
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections


def assert_equal(one: SeriesDetections, other: SeriesDetections) -> None:
    assert one.findings == other.findings
    assert (one.proposals.experts, one.proposals.grid_spacing_mm) == (other.proposals.experts, 2.0)
    for name in ("expert_index", "grid_index", "boxes", "scores", "embeddings"):
        first, second = getattr(one.proposals, name), getattr(other.proposals, name)
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(count=st.integers(0, 40), width=st.integers(0, 5))
def test_detections_come_back_to_the_bit(database: Database, add_series: AddSeries, count: int, width: int) -> None:
    series = add_series("a")
    written = detections_of(count, width)
    Detections(database).write(series.id, "v1", written)
    assert_equal(Detections(database).read(series.id, "v1"), written)
    assert Detections(database).read_findings(series.id, "v1") == written.findings


def test_detections_of_the_first_format_are_read(database: Database, add_series: AddSeries) -> None:
    """It had an embedding in every row, zeros where there was none."""
    series, written = add_series("a"), detections_of(20)
    Detections(database).write(series.id, "v1", written)
    path = database.project.detections_folder / "v1" / f"{series.id}.parquet"
    table = pq.read_table(path)
    every = np.zeros((20, 8), dtype=np.float32)
    every[written.proposals.is_fused] = written.proposals.embeddings
    column = pa.FixedSizeListArray.from_arrays(pa.array(every.reshape(-1)), 8)
    old = table.set_column(table.schema.get_field_index("embedding"), "embedding", column)
    header = json.loads(table.schema.metadata[b"lens"]) | {"format_version": 1}
    pq.write_table(old.replace_schema_metadata({b"lens": json.dumps(header).encode()}), path)
    assert_equal(Detections(database).read(series.id, "v1"), written)


def test_the_score_of_the_detector_comes_back_where_it_is_not_the_final_one(
    database: Database, add_series: AddSeries
) -> None:
    series, found = add_series("a"), detections_of(20)
    judged = replace(found.findings[0], score=0.2, detector_score=0.1 + 0.2)
    Detections(database).write(series.id, "v1", replace(found, findings=(judged, *found.findings[1:])))
    stored = Detections(database).read_findings(series.id, "v1")
    assert [(finding.score, finding.detector_score) for finding in stored] == [
        (0.2, 0.1 + 0.2),
        (0.1 + 0.2, None),
        (0.1 + 0.2, None),
    ]


def test_detections_without_false_positive_reduction_are_written_as_before_it(
    database: Database, add_series: AddSeries
) -> None:
    series = add_series("a")
    Detections(database).write(series.id, "v1", detections_of(20))
    schema = pq.read_schema(database.project.detections_folder / "v1" / f"{series.id}.parquet")
    (finding, *_) = json.loads(schema.metadata[b"lens"])["findings"]
    assert finding.keys() == {"expert", "box", "score", "expert_scores", "slices"}


def test_counts_are_of_all_series_of_one_model(database: Database, add_series: AddSeries) -> None:
    store = Detections(database)
    store.write(add_series("a").id, "v1", detections_of(10))
    store.write(add_series("b").id, "v1", detections_of(20, seed=1))
    store.write(add_series("b").id, "v2", detections_of(40))
    assert sum(store.counts("v1").values()) == 30
    assert list(store.counts("v1")) == ["universal", "lung", FUSED]
    assert store.counts("v9") == {}
    assert len(store.series_ids("v1")) == 2


def test_of_some_series_those_with_a_file_are_named(database: Database, add_series: AddSeries) -> None:
    store = Detections(database)
    kept, lost, without, other = (add_series(key) for key in "abcd")
    for series in (kept, lost, other):
        store.write(series.id, "v1", detections_of(1))
    (database.project.detections_folder / "v1" / f"{lost.id}.parquet").unlink()
    assert store.series_among([kept.id, lost.id, without.id], "v1") == {kept.id}
    assert store.series_among([kept.id], "v2") == frozenset()


def test_what_is_stored_from_now_on_is_found_by_its_row(database: Database, add_series: AddSeries) -> None:
    store = Detections(database)
    assert store.newest_row() == 0
    first, later, again = (add_series(key).id for key in "abc")
    store.write(first, "v1", detections_of(1))
    store.write(first, "v2", detections_of(1))
    row = store.newest_row()
    store.write(later, "v1", detections_of(1))
    store.write(later, "v2", detections_of(1))
    found = store.series_since(row, "v1")
    assert {found[number] for number in found if number > row} == {later}
    assert first in found.values()  # rows of PostgreSQL come to light out of their order
    for number in range(3, 123):
        store.write(again, f"v{number}", detections_of(0))
    assert store.series_since(store.newest_row(), "v1") == {}


def test_writing_again_replaces(database: Database, add_series: AddSeries) -> None:
    series = add_series("a")
    Detections(database).write(series.id, "v1", detections_of(10))
    Detections(database).write(series.id, "v1", detections_of(3))
    assert len(Detections(database).read(series.id, "v1").proposals.scores) == 3


def test_what_was_never_detected_is_named(database: Database, add_series: AddSeries) -> None:
    series = add_series("a")
    assert not Detections(database).exists(series.id, "v1")
    with pytest.raises(StoreError, match="has not been run on series"):
        Detections(database).read(series.id, "v1")


def test_damaged_file_is_named(database: Database, add_series: AddSeries) -> None:
    series = add_series("a")
    Detections(database).write(series.id, "v1", detections_of(3))
    (database.project.detections_folder / "v1" / f"{series.id}.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(StoreError, match="missing or damaged"):
        Detections(database).read(series.id, "v1")
    with pytest.raises(StoreError, match="missing or damaged"):
        Detections(database).read_findings(series.id, "v1")


def test_model_version_cannot_leave_the_folder(database: Database, add_series: AddSeries) -> None:
    with pytest.raises(StoreError, match="no model version"):
        Detections(database).write(add_series("a").id, "../outside", detections_of(1))


def test_sweep_removes_old_orphans_only(database: Database, add_series: AddSeries) -> None:
    store = Detections(database)
    kept, lost = add_series("a"), add_series("b")
    store.write(kept.id, "v1", detections_of(1))
    store.write(lost.id, "v1", detections_of(1))
    folder = database.project.detections_folder / "v1"
    (folder / f"{lost.id}.parquet").unlink()
    old, young = folder / ".9.parquet.0a.part", folder / "99.parquet"
    for path in (old, young):
        path.write_bytes(b"x")
    _make_old(old)
    assert store.sweep_orphans() == 1
    assert not old.exists()
    assert young.exists()
    assert store.series_of("v1") == {kept.id}
    assert store.exists(kept.id, "v1")


def test_sweep_keeps_the_rows_of_files_that_are_out_of_sight(database: Database, add_series: AddSeries) -> None:
    store = Detections(database)
    series = add_series("a")
    store.write(series.id, "v1", detections_of(3))
    folder = database.project.detections_folder
    folder.rename(folder.with_name("unmounted"))
    folder.mkdir()
    store.sweep_orphans(older_than_seconds=0)
    folder.rmdir()
    folder.with_name("unmounted").rename(folder)
    assert len(store.read(series.id, "v1").findings) == len(detections_of(3).findings)


def _make_old(path: Path) -> None:
    os.utime(path, (0, 0))


def test_nothing_is_written_in_the_place_of_a_project_that_is_away(database: Database, add_series: AddSeries) -> None:
    series, folder = add_series("a"), database.project.folder
    share = folder.rename(folder.with_name("share"))
    with pytest.raises(ProjectError, match="is away"):
        Detections(database).write(series.id, "v1", detections_of(3))
    assert not folder.exists()
    share.rename(folder)
    Detections(database).write(series.id, "v1", detections_of(3))
    assert Detections(database).exists(series.id, "v1")
