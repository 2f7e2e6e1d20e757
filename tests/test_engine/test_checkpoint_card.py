import json

import pytest

from lens_engine.checkpoint_card import CARD_NAME, CheckpointCard, MeasuredLimit, TrainedOn, read_card
from lens_engine.errors import CheckpointError


def write(folder, content: str):
    (folder / CARD_NAME).write_text(content)
    return folder


def test_a_card_survives_its_file(tmp_path):
    card = CheckpointCard(trained_on=TrainedOn.PATIENTS, experts=("universal",), parent="v1", metrics={"loss": 0.1})
    assert read_card(write(tmp_path, card.model_dump_json())) == card


def test_a_card_of_before_limits_were_measured_is_read(tmp_path):
    limit = MeasuredLimit(value=0.2, comparisons=300, measured_on="phantoms", precision=0.9, recall=None)
    card = CheckpointCard(trained_on=TrainedOn.PHANTOMS, distance_limit=limit)
    assert read_card(write(tmp_path, card.model_dump_json())) == card
    older = card.model_dump(mode="json", exclude={"distance_limit"})
    assert read_card(write(tmp_path, json.dumps(older))).distance_limit is None


@pytest.mark.parametrize(("origin", "is_demo"), [("nothing", True), ("phantoms", True), ("patients", False)])
def test_only_a_model_that_saw_patients_is_not_a_demo(origin, is_demo):
    assert CheckpointCard(trained_on=origin).is_demo is is_demo


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a JSON object"),
        ("[1]", "not a JSON object"),
        (json.dumps({"card_version": 99}), "version 99"),
        (json.dumps({"card_version": 1, "trained_on": "cats"}), "trained_on"),
        (json.dumps({"card_version": 1, "trained_on": "phantoms", "colour": 1}), "colour"),
    ],
)
def test_a_card_that_cannot_be_understood_is_refused(tmp_path, content, message):
    with pytest.raises(CheckpointError, match=message):
        read_card(write(tmp_path, content))


def test_a_folder_without_a_card_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"card\.json cannot be read \(No such file or directory\)") as refusal:
        read_card(tmp_path)
    assert str(refusal.value).count(str(tmp_path)) == 1
