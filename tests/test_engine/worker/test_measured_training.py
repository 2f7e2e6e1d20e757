"""A training measures what it has made, where that is asked for; a mining looks first, where that is asked for."""

import re
from collections import Counter

import psutil
import pytest
from support.processes.waiting import FOR_EVER_SECONDS, wait_for_end, wait_until
from support.projects.worker_project import SPLITS, add_patient

from lens_engine.findings import Split
from lens_engine.jobs.inputs import MineInputs, TrainInputs
from lens_engine.jobs.results import EvaluateResult, TrainResult
from lens_engine.jobs.status import JobState
from lens_engine.snapshot import LabelSet
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.detections import Detections
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import Models

pytestmark = pytest.mark.slow

MORE_TEST_PATIENTS = 4


@pytest.fixture
def test_series(database):
    return [series for series in Catalog(database).all_series() if series.split is Split.TEST]


@pytest.fixture
def train(database, jobs):
    def submit(*, measure):
        snapshot = Snapshots(database).freeze(LabelSet.ORIGINAL)
        return jobs.submit(TrainInputs(snapshot_id=snapshot.id, parent_version="v1", steps=2, measure=measure))

    return submit


def result_of(jobs, job_id):
    status = wait_for_end(jobs, job_id, 180)
    assert status.state is JobState.DONE, status.error
    return TrainResult.model_validate(dict(status.result))


def test_a_training_is_measured_against_its_parent_whoever_watches(database, jobs, train, start_worker):
    start_worker()
    result = result_of(jobs, train(measure=True))
    assert result.evaluation.measurable
    assert (result.evaluation.series, result.evaluation.lesions) == (1, 1)
    assert result.evaluation.average_sensitivity.keys() == {"v1", "v2"}
    (stored,) = Models(database).evaluations("v2")
    assert stored.result["compared_with"] == "v1"
    assert stored.result["difference"]["IoBB"] == result.evaluation.difference["v2"]["IoBB"].model_dump()


def test_a_training_that_nobody_asked_to_measure_looks_at_no_test_patient(
    database, jobs, train, test_series, start_worker
):
    start_worker()
    result = result_of(jobs, train(measure=False))
    assert result.evaluation is None
    assert not any(Detections(database).exists(series.id, "v2") for series in test_series)


def test_without_complete_test_series_the_result_says_what_makes_the_gain_measurable(
    database, jobs, train, test_series, start_worker
):
    for series in test_series:
        Catalog(database).mark_complete(series.id, None, complete=False)
    start_worker()
    evaluation = result_of(jobs, train(measure=True)).evaluation
    assert not evaluation.measurable
    assert "at least 3" in evaluation.what_to_do
    assert Models(database).evaluations("v2") == ()


def test_a_version_that_cannot_be_measured_is_made_all_the_same(database, jobs, train, test_series, start_worker):
    test_series[0].source.paths[0].unlink()
    start_worker()
    result = result_of(jobs, train(measure=True))
    assert result.model_version == "v2"
    assert not result.evaluation.measurable
    assert test_series[0].name in result.evaluation.what_to_do


def test_a_worker_killed_while_it_measures_repeats_neither_training_nor_series(
    database, jobs, train, tmp_path, start_worker
):
    for number in range(MORE_TEST_PATIENTS):
        add_patient(database, tmp_path, len(SPLITS) + number, Split.TEST)
    job_id = train(measure=True)
    worker = start_worker("worker-a")
    wait_until(lambda: is_measuring(jobs.status(job_id), 2), "two series are looked at", 120)
    children = psutil.Process(worker.pid).children(recursive=True)
    worker.kill()
    worker.wait()
    psutil.wait_procs(children, timeout=FOR_EVER_SECONDS)
    start_worker("worker-b")
    evaluation = result_of(jobs, job_id).evaluation
    assert isinstance(evaluation, EvaluateResult)
    assert evaluation.series == 1 + MORE_TEST_PATIENTS
    log = jobs.log_file(job_id).read_text()
    assert log.count("starting the training") == 1
    looked_at = Counter(re.findall(r"series (\S+): detected with (\S+)", log))
    assert len(looked_at) == 2 * (1 + MORE_TEST_PATIENTS)
    assert set(looked_at.values()) == {1}
    assert [len(Models(database).evaluations(version)) for version in ("v1", "v2")] == [1, 1]


def is_measuring(status, done):
    assert not status.state.is_final, status
    return status.stage.startswith("Detecting in") and status.done >= done


def test_a_mining_that_looks_first_sees_every_patient_but_the_test_ones(database, jobs, test_series, start_worker):
    series = Catalog(database).all_series()
    broken = next(one for one in series if one.split is Split.TRAIN)
    broken.source.paths[0].unlink()
    start_worker()
    status = wait_for_end(jobs, jobs.submit(MineInputs(model_version="v1", detect=True)))
    assert status.state is JobState.DONE, status.error
    assert status.done == status.total > 0
    looked_at = {one.id for one in series} - {test_series[0].id, broken.id}
    assert set(Detections(database).series_ids("v1")) == looked_at
    assert status.result["series"] == len(looked_at)
    assert len(Candidates(database).latest()) > 0
    assert f"1 series could not be looked at and were left out: {broken.name}" in status.result["notes"][-1]
