"""Jobs with a model version that has a false-positive reduction: a real queue, real workers, real child processes."""

import pytest
from support.processes.waiting import wait_for_end
from support.training.reduction_network import write_reduction

from lens_engine.detector.false_positive_reduction.checkpoint import load_network
from lens_engine.detector.false_positive_reduction.rescoring import lesion_probabilities, rescored
from lens_engine.findings import FUSED
from lens_engine.io.series import read_volume
from lens_engine.jobs.inputs import DetectInputs, TrainInputs
from lens_engine.jobs.status import JobState
from lens_engine.snapshot import LabelSet
from lens_engine.store.catalog import Catalog
from lens_engine.store.detections import Detections
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import Models


@pytest.fixture
def version(database, tiny_checkpoint, tmp_path):
    """Return v2: the detector of v1 with a false-positive reduction."""
    return Models(database).register(
        tiny_checkpoint, reduction=write_reduction(tmp_path / "reduction", tiny_checkpoint)
    )


@pytest.fixture
def series(database):
    return Catalog(database).all_series()[:2]


@pytest.mark.slow
def test_the_stored_scores_are_those_of_the_plain_version_judged_again(database, jobs, series, version, start_worker):
    start_worker()
    series_ids = tuple(item.id for item in series)
    plain = wait_for_end(jobs, jobs.submit(DetectInputs(series_ids=series_ids, model_version="v1")))
    judged_job = jobs.submit(DetectInputs(series_ids=series_ids, model_version=version.version))
    judged = wait_for_end(jobs, judged_job)
    assert (plain.state, judged.state) == (JobState.DONE, JobState.DONE), judged.error
    assert judged.result["findings"] == plain.result["findings"]

    network, _ = load_network(version.reduction)
    log = jobs.log_file(judged_job).read_text()
    assert log.count("loading the false-positive reduction of v2") == 1
    for item in series:
        before = Detections(database).read(item.id, "v1")
        after = Detections(database).read(item.id, "v2")
        fused = [finding for finding in before.findings if finding.expert == FUSED]
        assert f"{item.name}: false-positive reduction judged {len(fused)} fused findings again" in log
        final = rescored(fused, lesion_probabilities(network, read_volume(item.source), fused))
        expected = {finding.box: (finding.score, finding.detector_score) for finding in final}
        stored = [finding for finding in after.findings if finding.expert == FUSED]
        assert len(stored) == len(fused) > 0
        for finding in stored:
            assert (finding.score, finding.detector_score) == pytest.approx(expected[finding.box], abs=1e-6)
        assert [f for f in after.findings if f.expert != FUSED] == [f for f in before.findings if f.expert != FUSED]


@pytest.mark.slow
def test_without_its_reduction_a_version_detects_nothing(database, jobs, series, version, start_worker):
    (version.reduction / "weights.safetensors").write_bytes(b"changed")
    start_worker()
    detect = DetectInputs(series_ids=(series[0].id,), model_version=version.version)
    status = wait_for_end(jobs, jobs.submit(detect))
    assert status.state is JobState.FAILED
    assert "false-positive-reduction" in status.error
    assert not Detections(database).exists(series[0].id, version.version)


@pytest.mark.slow
def test_a_retrained_version_has_no_reduction_and_the_log_says_so(database, jobs, version, start_worker):
    start_worker()
    snapshot = Snapshots(database).freeze(LabelSet.CURATED)
    job = jobs.submit(TrainInputs(snapshot_id=snapshot.id, parent_version=version.version, steps=1))
    status = wait_for_end(jobs, job)
    assert status.state is JobState.DONE, status.error
    assert Models(database).get("v3").reduction is None
    assert "has learned from what v2 finds: the new version has none" in jobs.log_file(job).read_text()
