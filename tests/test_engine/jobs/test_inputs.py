import pytest
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
