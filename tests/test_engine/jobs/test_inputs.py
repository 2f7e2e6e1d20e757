import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lens_engine.findings import Split
from lens_engine.io.annotations.manual_test_set import ExportFormat
from lens_engine.jobs.inputs import (
    INPUTS_OF,
    DetectInputs,
    EvaluateInputs,
    ExportInputs,
    JobKind,
    MineInputs,
    TrainInputs,
)

EXAMPLES = [
    DetectInputs(series_ids=(3, 1), model_version="v1"),
    MineInputs(model_version="v2"),
    TrainInputs(snapshot_id="0123456789ab", parent_version="v1", steps=20, promote=True),
    EvaluateInputs(model_versions=("v1", "v2"), split=Split.VAL),
    ExportInputs(format=ExportFormat.MANUAL_PICKLE, target="test set.pkl"),
]


@pytest.mark.parametrize("inputs", EXAMPLES, ids=lambda inputs: inputs.kind.value)
def test_inputs_survive_the_way_through_the_queue(inputs):
    assert INPUTS_OF[inputs.kind].model_validate(inputs.model_dump(mode="json")) == inputs


def test_every_kind_has_inputs():
    assert set(INPUTS_OF) == set(JobKind)


@pytest.mark.parametrize("target", ["/etc/passwd", "../out.json", "a/b.json", "", ".hidden"])
def test_an_export_target_with_a_folder_is_refused(target):
    with pytest.raises(ValidationError, match="plain file name"):
        ExportInputs(format=ExportFormat.JSON, target=target)


def test_training_patients_are_never_evaluated_on():
    with pytest.raises(ValidationError, match="held-out"):
        EvaluateInputs(model_versions=("v1",), split=Split.TRAIN)


def test_a_training_that_was_queued_before_measuring_was_part_of_it_does_not_measure():
    queued = {"snapshot_id": "0123456789ab", "parent_version": "v1", "steps": 20, "promote": False}
    assert not TrainInputs.model_validate(queued).measure


def test_an_unknown_field_is_refused():
    with pytest.raises(ValidationError, match="path"):
        MineInputs(model_version="v1", path="/data/someone")


def shares(series, jobs):
    inputs = DetectInputs(series_ids=tuple(range(series)), model_version="v1", compiles=True)
    shared = inputs.shared_by(jobs)
    assert {(each.model_version, each.compiles) for each in shared} == {("v1", True)}
    return [each.series_ids for each in shared]


@given(series=st.integers(1, 50), jobs=st.integers(1, 8))
def test_each_job_that_shares_series_goes_over_all_of_them_once(series, jobs):
    orders = shares(series, jobs)
    assert len(orders) == jobs
    assert all(sorted(order) == list(range(series)) for order in orders)
    assert orders[0] == tuple(range(series))


@given(part=st.integers(1, 10), jobs=st.integers(1, 8))
def test_jobs_that_share_series_begin_with_a_part_each(part, jobs):
    first = [series for order in shares(part * jobs, jobs) for series in order[:part]]
    assert sorted(first) == list(range(part * jobs))


def in_each_others_way(orders, seconds, starts):
    """Return how often a job finds a series in work, and how often a scan that it has read ahead is not its own.

    Each job takes its seconds for a series, and begins at its start.
    """
    states, taken, lost = {}, 0, 0
    ready = [(start, job) for job, start in enumerate(starts)]
    places, ahead, at_work = [0] * len(orders), [None] * len(orders), [None] * len(orders)
    while ready:
        now, job = heapq.heappop(ready)
        if at_work[job] is not None:
            states[at_work[job]] = "detected"
            at_work[job] = None
        while places[job] < len(orders[job]):
            series = orders[job][places[job]]
            places[job] += 1
            if series in states:
                taken += states[series] == "in work"
                continue
            lost += ahead[job] not in (None, series)
            states[series], at_work[job] = "in work", series
            following = orders[job][places[job] : places[job] + 1]
            ahead[job] = next((one for one in following if states.get(one) != "detected"), None)
            heapq.heappush(ready, (now + seconds[job], job))
            break
    return taken, lost


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [
        pytest.param((1.0, 1.0), (0.0, 0.5), id="alike"),
        pytest.param((1.0, 3.1), (0.0, 0.5), id="one is faster"),
        pytest.param((1.0, 1.0), (0.0, 50.5), id="one comes late"),
        pytest.param((1.0, 1.0, 1.0), (0.0, 0.3, 0.6), id="three"),
        pytest.param((1.0, 1.0, 2.3, 2.3), (0.0, 0.3, 0.1, 0.6), id="two pairs"),
    ],
)
def test_jobs_that_share_series_are_less_in_each_others_way_than_side_by_side(seconds, starts):
    jobs = len(seconds)
    taken, lost = in_each_others_way(shares(120, jobs), seconds, starts)
    taken_before, lost_before = in_each_others_way([tuple(range(120))] * jobs, seconds, starts)
    assert taken < taken_before / 4
    assert lost < lost_before / 4


def test_two_jobs_that_share_series_meet_once_however_fast_they_are_and_whenever_they_begin():
    for seconds, starts in (((1.0, 1.0), (0.0, 0.5)), ((1.0, 3.1), (0.0, 0.5)), ((1.0, 1.0), (0.0, 50.5))):
        taken, lost = in_each_others_way(shares(120, 2), seconds, starts)
        assert (taken <= 1, lost) == (True, 0)
