import numpy as np
import pytest
import torch

from benchmarks.detector.crop_effect import agreement, cropped_by_slice
from benchmarks.detector.subjects import EXPERTS, loud_detector
from lens_engine.detector.config import narrow_lens
from lens_engine.detector.inference.predict import detect
from lens_engine.detector.preprocess import body_rectangle
from lens_engine.findings import FUSED, Finding
from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume


def finding(x, score):
    return Finding(FUSED, (x, 0.0, 0.0, x + 10, 10.0, 4.0), (), score, {})


def test_findings_agree_where_they_overlap_by_half():
    found = agreement([finding(0, 0.9), finding(50, 0.8), finding(90, 0.1)], [finding(2, 0.7), finding(57, 0.8)])
    assert found.findings == (2, 2)  # one is not sure
    assert found.share == 0.5
    assert found.score_difference == pytest.approx(0.2)


def test_a_crop_that_is_alike_for_all_slices_gives_the_findings_of_the_volume():
    torch.set_num_threads(1)
    model = loud_detector(narrow_lens(EXPERTS))
    voxels = np.full((5, 64, 72), -1000, dtype=np.int16)
    voxels[:, 6:60, 5:70] = np.random.default_rng(0).normal(40, 100, (5, 54, 65))
    volume = Volume(voxels, VolumeGeometry(voxels.shape, (4.0, 1.5, 1.5)))
    body = body_rectangle(voxels)
    found = cropped_by_slice(model, volume, lambda index: body, model.config.post)
    expected = [own for own in detect(model, volume).findings if own.expert == FUSED]
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose([own.box for own in found], [own.box for own in expected], atol=1e-2)
