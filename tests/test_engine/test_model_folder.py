import shutil

import pytest
from support.training.reduction_network import write_reduction

from lens_engine.checkpoint_card import DEMO_NOTICE, CheckpointCard, TrainedOn, demo_checkpoint_folder
from lens_engine.detector.config import DetectorConfig
from lens_engine.detector.false_positive_reduction.config import FprConfig
from lens_engine.detector.input_config import InputConfig
from lens_engine.errors import CheckpointError
from lens_engine.model_folder import REDUCTION_NAME, Checkpoint, ModelFolder, check_parts, read_model, renamed

DEMO = demo_checkpoint_folder()
RESEARCH = CheckpointCard(trained_on=TrainedOn.PATIENTS, notice="Research use only.")
DEMO_CARD = CheckpointCard(trained_on=TrainedOn.PHANTOMS, notice=DEMO_NOTICE)


@pytest.fixture
def run(tmp_path):
    """Return the folder of a recipe with both networks."""
    folder = shutil.copytree(DEMO, tmp_path / "run")
    write_reduction(folder / REDUCTION_NAME, folder)
    return folder


def test_a_detector_alone_is_a_model(run):
    model = read_model(DEMO)
    check_parts(model)
    assert (model.reduction, len(model.cards)) == (None, 1)


def test_the_reduction_inside_is_part_of_the_model_unless_another_is_named(run, tmp_path):
    model = read_model(run)
    check_parts(model)
    assert model.reduction.folder == run / REDUCTION_NAME
    other = write_reduction(tmp_path / "other", run)
    assert read_model(run, other).reduction.folder == other


def test_a_reduction_whose_training_has_not_ended_is_not_left_out_silently(run):
    (run / REDUCTION_NAME / "card.json").unlink()
    with pytest.raises(CheckpointError, match=r"has not ended.*--resume"):
        read_model(run)


def test_a_reduction_is_no_detector_and_a_detector_no_reduction(run):
    with pytest.raises(CheckpointError, match=r"holds a false-positive reduction network.*--add DETECTOR --reduction"):
        check_parts(read_model(run / REDUCTION_NAME))
    with pytest.raises(CheckpointError, match=r"holds a detector network.*false-positive reduction network is needed"):
        check_parts(read_model(run, DEMO))


@pytest.mark.parametrize(
    ("seen", "words"), [({"pixel_mm": 0.8}, "pixel_mm 0.8 instead of 1.6"), ({"grid_mm": 2.0}, "grid_mm 2.0")]
)
def test_networks_that_see_a_volume_differently_are_refused(run, tmp_path, seen, words):
    other = write_reduction(tmp_path / "other", run, **seen)
    with pytest.raises(CheckpointError, match=words):
        check_parts(read_model(run, other))


def test_what_both_configurations_share_is_what_a_network_sees_of_a_volume():
    shared = DetectorConfig.model_fields.keys() & FprConfig.model_fields.keys()
    assert shared == InputConfig.model_fields.keys()


@pytest.mark.parametrize(
    ("detector", "reduction", "notice", "is_demo"),
    [
        (RESEARCH, None, "Research use only.", False),
        (RESEARCH, RESEARCH, "Research use only.", False),
        (RESEARCH, DEMO_CARD, f"Research use only. False-positive reduction: {DEMO_NOTICE}", True),
        (DEMO_CARD, RESEARCH, DEMO_NOTICE, True),
    ],
)
def test_a_model_says_of_both_networks_what_they_have_seen(tmp_path, detector, reduction, notice, is_demo):
    second = None if reduction is None else Checkpoint(tmp_path, reduction)
    model = ModelFolder(Checkpoint(tmp_path, detector), second)
    assert (model.notice, model.is_demo) == (notice, is_demo)


def test_a_renamed_model_differs_in_the_names_of_its_experts_alone(run):
    model = read_model(run)
    other = renamed(model, [("universal", "ct"), ("lung", "universal")])
    assert other.detector.card.experts == ("ct", "universal", "liver", "lymph node")
    assert DetectorConfig.model_validate(other.detector.card.config).experts == other.detector.card.experts
    assert other.reduction == model.reduction
    assert renamed(other, [("universal", "lung"), ("ct", "universal")]) == model
    check_parts(other)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([("deeplesion", "universal")], "no expert 'deeplesion'.*It has universal, lung"),
        ([("lung", "a"), ("lung", "b")], "renamed twice: lung=a, lung=b"),
        ([("lung", "liver")], "'universal', 'liver', 'liver'"),
        ([("lung", "fused")], "differ from each other and from 'fused'"),
    ],
)
def test_names_that_are_unknown_or_not_distinct_are_refused(names, message):
    with pytest.raises(CheckpointError, match=message):
        renamed(read_model(DEMO), names)
