"""Jobs from end to end: a real queue, real workers, real child processes."""

import json

from engine.jobs.conftest import wait_for_end

from lens_engine.findings import FUSED, Split
from lens_engine.jobs.inputs import DetectInputs, EvaluateInputs, ExportFormat, ExportInputs, MineInputs, TrainInputs
from lens_engine.jobs.status import JobState
from lens_engine.snapshot import LabelSet
from lens_engine.store.catalog import Catalog
from lens_engine.store.detections import Detections
from lens_engine.store.models import Models
from lens_engine.store.snapshots import Snapshots


def test_every_kind_of_job_does_its_part(database, jobs, start_worker):
    series_ids = tuple(series.id for series in Catalog(database).all_series())
    start_worker()
    detect = wait_for_end(jobs, jobs.submit(DetectInputs(series_ids=series_ids, model_version="v1")))
    assert detect.state is JobState.DONE, detect
    assert all(Detections(database).exists(series_id, "v1") for series_id in series_ids)
    assert detect.result["series"] == len(series_ids)
    assert detect.result["boxes"][FUSED] > 0

    mine = wait_for_end(jobs, jobs.submit(MineInputs(model_version="v1")))
    assert mine.state is JobState.DONE, mine
    assert mine.result["series"] == 5
    print(mine.result)

    snapshot = Snapshots(database).freeze(LabelSet.MINED)
    train = wait_for_end(jobs, jobs.submit(TrainInputs(snapshot_id=snapshot.id, parent_version="v1", steps=3)))
    assert train.state is JobState.DONE, train
    assert Models(database).get("v2").parent == "v1"

    evaluate = wait_for_end(jobs, jobs.submit(EvaluateInputs(model_versions=("v1", "v2"), split=Split.TEST)))
    assert evaluate.state is JobState.DONE, evaluate
    print(evaluate.result)
    print(json.dumps(Models(database).evaluations("v2")[0].result)[:1500])

    export = wait_for_end(jobs, jobs.submit(ExportInputs(format=ExportFormat.JSON, target="truth.json")))
    assert export.state is JobState.DONE, export
    print(export.result)
    for j in jobs.jobs():
        print(j)
