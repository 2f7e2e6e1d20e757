"""Detection on chosen slices: the boxes of a grid through them, from no more slices than that takes."""

from collections.abc import Sequence

import numpy as np
import pytest

from lens_engine.detector.inference.chosen_slices import detect_on_slices
from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import InferenceDetector
from lens_engine.detector.preprocess import Augmentation
from lens_engine.findings import FUSED
from lens_engine.volume import Volume


class CountedSlices:
    """Reads slices of a volume, and remembers which."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self.read: list[int] = []

    def __call__(self, slices: Sequence[int]) -> np.ndarray:
        self.read += slices
        return self._volume.voxels[list(slices)]


def on_slices(model, volume, *slices):
    return detect_on_slices(InferenceDetector(model), volume.geometry, CountedSlices(volume), slices)


@pytest.mark.parametrize("key", [0, 3, 7, 11])
def test_boxes_are_those_of_a_grid_that_passes_through_the_slice(tiny_detector, make_volume, key):
    volume = make_volume(12)
    found = on_slices(tiny_detector, volume, key)
    phase_mm = key * 5.0
    whole = detect_with(InferenceDetector(tiny_detector), volume, augmentation=Augmentation(phase_mm=phase_mm))
    same = whole.proposals.take(np.flatnonzero(whole.proposals.grid_index == int(phase_mm // 4)))
    assert len(found.of(FUSED).scores) > 2
    assert found.experts == same.experts
    np.testing.assert_array_equal(found.expert_index, same.expert_index)
    np.testing.assert_allclose(found.boxes, same.boxes, atol=1e-3)
    np.testing.assert_allclose(found.scores, same.scores, atol=1e-5)
    assert set(found.grid_index.tolist()) == {key}
    assert found.grid_spacing_mm == found.slice_spacing_mm == 5.0


def test_only_the_slices_of_the_sample_are_read(tiny_detector, make_volume):
    volume = make_volume(60, (1.0, 2.0, 2.0))
    slices = CountedSlices(volume)
    detect_on_slices(InferenceDetector(tiny_detector), volume.geometry, slices, [30])
    assert slices.read == list(range(14, 47, 4))


def test_the_crop_is_that_of_the_body_on_the_slice(tiny_detector, make_volume):
    volume = make_volume(12)
    wide = volume.voxels.copy()
    wide[11, 2:70, 2:62] = 40  # another slice shows the shoulders
    alike = on_slices(tiny_detector, Volume(wide, volume.geometry), 3)
    np.testing.assert_array_equal(alike.boxes, on_slices(tiny_detector, volume, 3).boxes)


def test_slices_come_in_order_expert_by_expert_and_none_gives_none(tiny_detector, make_volume):
    volume = make_volume(12)
    found = on_slices(tiny_detector, volume, 8, 3)
    keys = list(zip(found.expert_index.tolist(), found.grid_index.tolist(), strict=True))
    assert keys == sorted(keys)
    assert set(found.grid_index.tolist()) == {3, 8}
    assert len(on_slices(tiny_detector, volume).scores) == 0


def test_a_series_of_one_slice_has_a_key_slice(tiny_detector, make_volume):
    assert len(on_slices(tiny_detector, make_volume(1), 0).scores) > 0
