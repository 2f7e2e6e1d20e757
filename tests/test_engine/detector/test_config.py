import subprocess
import sys

import pytest
from pydantic import ValidationError

from lens_engine.detector.config import (
    AnchorConfig,
    DetectorConfig,
    ProposalConfig,
    ProposalKind,
    narrow_lens,
    published_lens,
)


@pytest.mark.parametrize("make", [published_lens, narrow_lens])
@pytest.mark.parametrize("kind", list(ProposalKind))
@pytest.mark.parametrize("two_stages", [True, False])
def test_a_configuration_survives_json(make, kind, two_stages):
    config = make(("universal", "lung"), kind, two_stages=two_stages)
    assert DetectorConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("experts", [(), ("lung", "lung"), ("fused",), ("",)])
def test_experts_need_distinct_names(experts):
    with pytest.raises(ValidationError, match="distinct name"):
        DetectorConfig(experts=experts)


@pytest.mark.parametrize("points", [((0.0, 0.0),), ((0.0, 0.0), (0.0, 1.0)), ((0.0, 9.0), (10.0, 1.0))])
def test_intensity_must_rise(points):
    with pytest.raises(ValidationError, match="rising HU"):
        DetectorConfig(experts=("lung",), intensity=points)


def test_inference_shows_no_less_than_training():
    with pytest.raises(ValidationError, match="inference_side is 400; at least max_side, 512"):
        DetectorConfig(experts=("lung",), inference_side=400)


def test_an_unknown_setting_is_refused():
    with pytest.raises(ValidationError, match="pixel_size"):
        DetectorConfig(experts=("lung",), pixel_size=1.0)


def test_configurations_and_cards_are_read_without_torch():
    code = "import sys, lens_engine.detector.config, lens_engine.checkpoint_card; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("anchors", [{"sizes": ()}, {"ratios": (1.0, 0.0)}, {"sizes": (-8.0,)}])
def test_anchors_need_a_size_and_a_ratio_above_zero(anchors):
    with pytest.raises(ValidationError, match=next(iter(anchors))):
        AnchorConfig(**anchors)


def test_an_unknown_kind_is_named_with_those_that_exist():
    with pytest.raises(ValidationError, match=r"'afp', 'rpn', 'fcos' or 'centernet'"):
        ProposalConfig.model_validate({"kind": "retinanet"})
