"""The scan of the next series is read while one is computed, and handed out once."""

from pathlib import Path

import pytest
from sqlalchemy import delete

from lens_engine.errors import SeriesError
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.store.schema import DetectionRow
from lens_engine.tasks.reading_ahead import ReadingAhead
from lens_engine.tasks.workbench import Workbench, read_scan
from lens_engine.volume import Volume
from lens_engine.worker.messages import DetectSeries


def test_a_scan_is_read_once_and_only_the_one_that_was_begun(database: Database) -> None:
    first, second, *_ = Catalog(database).all_series()
    read: list[int] = []

    def note(series: SeriesRecord) -> Volume:
        read.append(series.id)
        return read_scan(series)

    ahead = ReadingAhead(note)
    ahead.begin(second)
    assert ahead.volume(second).voxels.shape == ahead.volume(first).voxels.shape
    assert read == [second.id, first.id]


def test_what_is_wrong_with_a_scan_is_said_when_it_is_asked_for(database: Database) -> None:
    first = Catalog(database).all_series()[0]
    assert first.source is not None
    first.source.paths[0].unlink()
    ahead = ReadingAhead(read_scan)
    ahead.begin(first)
    with pytest.raises(SeriesError):
        ahead.volume(first)


def test_detections_are_those_of_each_series_whatever_was_read_ahead(database: Database, tmp_path: Path) -> None:
    ids = [record.id for record in Catalog(database).all_series()][:3]
    bench, alone = Workbench(database.project, tmp_path / "a"), Detections(database)
    for series_id, following in zip(ids, [ids[2], None, ids[0]], strict=True):  # one in vain, one that was detected
        task = DetectSeries(series_id=series_id, model_version="v1", next_series_id=following)
        assert bench.run(task, lambda *_: None)["skipped"] is False
    ahead = [alone.read(series_id, "v1").findings for series_id in ids]
    with database.session() as session:
        session.execute(delete(DetectionRow))
    for series_id in ids:
        bench.run(DetectSeries(series_id=series_id, model_version="v1"), lambda *_: None)
    assert [alone.read(series_id, "v1").findings for series_id in ids] == ahead
