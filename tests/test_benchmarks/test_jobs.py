import pytest

from benchmarks.jobs import phantom_archive
from lens_engine.store.catalog import Catalog
from lens_engine.store.detections import Detections
from lens_engine.store.new_project import create_project
from lens_engine.tasks.workbench import Workbench
from lens_engine.worker.messages import DetectSeries


@pytest.mark.slow
def test_every_series_of_the_archive_is_a_scan_in_which_there_is_something_to_detect(tmp_path):
    database, _ = create_project(tmp_path / "project")
    archive = phantom_archive(database, tmp_path, series=12)
    assert len({record.source for record in Catalog(database).some_series(archive.ids)}) == 12
    detections, bench = Detections(database), Workbench(database.project, tmp_path)
    for series_id in archive.ids:
        assert not detections.exists(series_id, archive.version)
        done = bench.run(DetectSeries(series_id=series_id, model_version=archive.version), lambda _done, _total: None)
        assert not done["skipped"]
        assert detections.read_findings(series_id, archive.version)
    assert archive.seconds_between_series() > 0
    assert (archive.computing() > 0).all()
    database.close()
