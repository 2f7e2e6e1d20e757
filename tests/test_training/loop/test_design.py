"""The design of the loop experiment: fixed in one file, and no patient has two purposes."""

from pathlib import Path

import pytest
import yaml

from lens_engine.errors import ConfigError
from lens_engine.phantom.patient import TEST_SEEDS
from lens_training.loop.design import LOOP_FILE, Arm, load_design


def changed(tmp_path: Path, **values: object) -> Path:
    file = tmp_path / "loop.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(LOOP_FILE.read_text(encoding="utf-8")) | values), encoding="utf-8")
    return file


def test_committed_design_has_what_the_claim_needs() -> None:
    design = load_design()
    assert design.replicates >= 3
    assert design.universal.count >= 32
    assert design.studies >= 2
    assert design.test.count >= 100
    assert set(design.test.seeds) <= set(TEST_SEEDS)
    assert design.withheld_share >= 0.6


def test_no_two_replicates_share_a_patient() -> None:
    design = load_design()
    for part in (design.universal, design.single_type):
        seeds = [seed for number in range(design.replicates) for seed in part.after(number).seeds]
        assert len(set(seeds)) == design.replicates * part.count


@pytest.mark.parametrize("part", ["universal", "single_type"])
def test_training_on_patients_of_another_purpose_is_refused(tmp_path: Path, part: str) -> None:
    with pytest.raises(ConfigError, match="set aside"):
        load_design(changed(tmp_path, **{part: {"first": 1990, "count": 12}}))


def test_measuring_on_training_patients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="set aside"):
        load_design(changed(tmp_path, test={"first": 1000, "count": 3}))


def test_design_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "loop.yaml"
    file.write_text("replicates: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"loop\.yaml"):
        load_design(file)


def test_arms_learn_from_what_they_are_called() -> None:
    assert [arm.labels.value for arm in Arm] == [
        "original",
        "original+mined",
        *["original+mined+decisions"] * 5,
    ]
