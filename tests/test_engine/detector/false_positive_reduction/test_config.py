import pytest
from pydantic import ValidationError

from lens_engine.checkpoint_card import demo_checkpoint_folder
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.detector.config import narrow_lens, published_lens
from lens_engine.detector.false_positive_reduction.config import FprConfig, narrow_fpr, published_fpr
from lens_engine.detector.input_config import InputConfig


def physical_size_mm(config: FprConfig) -> tuple[float, float, float]:
    depth, height, width = config.patch
    return depth * config.grid_mm, height * config.pixel_mm, width * config.pixel_mm


def test_the_published_patch_is_that_in_the_documentation():
    config = published_fpr(published_lens(("universal",)))
    assert config.patch == (16, 96, 96)
    assert physical_size_mm(config) == pytest.approx((32, 76.8, 76.8))


def test_the_narrow_network_sees_as_much_of_the_patient_with_the_demo_model():
    detector, _ = load_checkpoint(demo_checkpoint_folder())
    config = narrow_fpr(detector.config)
    assert physical_size_mm(config) == pytest.approx((32, 76.8, 76.8))


def test_the_network_sees_the_volume_as_its_detector_does():
    detector = narrow_lens(("universal",))
    for config in (published_fpr(detector), narrow_fpr(detector)):
        seen = {name: getattr(config, name) for name in InputConfig.model_fields}
        assert seen == {name: getattr(detector, name) for name in InputConfig.model_fields}


@pytest.mark.parametrize("wrong", [{"patch": (0, 96, 96)}, {"widths": (8, 8)}, {"depth": 18}, {"intensity": ()}])
def test_a_configuration_that_cannot_be_built_is_refused(wrong: dict[str, object]):
    with pytest.raises(ValidationError):
        FprConfig.model_validate(wrong)
