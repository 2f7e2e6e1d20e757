"""Mining settings: the published numbers by default, impossible ones refused by name."""

from dataclasses import fields
from typing import Any

import pytest

from lens_engine.errors import ConfigError
from lens_engine.mining.settings import MiningSettings


def test_the_defaults_are_the_published_numbers() -> None:
    settings = MiningSettings()
    theta = (settings.linking_iou, settings.key_slice_iou, settings.overlap_ratio, settings.uncertain_nms_iou)
    assert theta == (0.5, 0.5, 0.5, 0.5)
    assert (settings.published_distance_limit, settings.uncertain_min_score) == (0.15, 0.5)
    assert settings.tracklet_min_score == 0.05


@pytest.mark.parametrize("wrong", [-0.1, float("nan")])
@pytest.mark.parametrize("name", [setting.name for setting in fields(MiningSettings)])
def test_impossible_settings_are_refused_by_name_and_value(name: str, wrong: float) -> None:
    values: dict[str, Any] = {name: wrong}
    with pytest.raises(ConfigError) as refused:
        MiningSettings(**values)
    assert name in str(refused.value)
    assert str(wrong) in str(refused.value)


def test_every_setting_is_documented() -> None:
    text = MiningSettings.__doc__ or ""
    assert all(f"    {setting.name}\n" in text for setting in fields(MiningSettings))
