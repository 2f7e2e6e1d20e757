import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.detector.config import DetectorConfig
from lens_engine.detector.false_positive_reduction.config import FprConfig, published_fpr
from lens_engine.detector.false_positive_reduction.patches import PatchCutter, by_depth, place
from lens_engine.detector.input_config import InputConfig
from lens_engine.detector.preprocess import Augmentation, Crop, make_grid, prepare
from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume

CONFIG = FprConfig(pixel_mm=2.0, grid_mm=4.0, patch=(4, 32, 24))
"""No side is like another."""


def volume_of(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float] = (4.0, 2.0, 2.0)) -> Volume:
    voxels = np.random.default_rng(0).integers(-300, 300, shape).astype(np.int16)
    return Volume(voxels, VolumeGeometry(shape, spacing_mm))


def test_a_bright_voxel_lies_in_its_box_on_every_axis():
    volume = volume_of((20, 50, 60))
    volume.voxels[7, 11, 23] = 3000
    patch = PatchCutter(volume, CONFIG).cut((23, 11, 7, 24, 12, 8))
    assert patch.voxels.shape == (4, 32, 24)
    assert patch.box.tolist() == [11, 15, 1, 12, 16, 2]
    assert np.unravel_index(patch.voxels.argmax(), patch.voxels.shape) == (1, 15, 11)


def test_a_box_keeps_its_place_when_pixels_and_slices_are_resampled():
    volume = volume_of((40, 120, 100), spacing_mm=(2.0, 1.0, 1.0))
    volume.voxels[12:20, 40:70, 52:62] += 1500
    patch = PatchCutter(volume, CONFIG).cut((52, 40, 12, 62, 70, 20))
    x1, y1, z1, x2, y2, z2 = patch.box.astype(int)
    assert (x2 - x1, y2 - y1) == (5, 15)
    inside = np.zeros(patch.voxels.shape, dtype=bool)
    inside[z1 : z2 + 1, y1:y2, x1:x2] = True
    assert patch.voxels[z1:z2, y1:y2, x1:x2].min() > np.percentile(patch.voxels[~inside], 95)


@given(st.sampled_from([1.0, 2.0, 2.5, 5.0]), st.integers(0, 30), st.integers(1, 20))
def test_the_middle_of_the_patch_is_as_deep_as_that_of_the_box(slice_mm: float, first: int, count: int):
    geometry = VolumeGeometry((60, 64, 64), (slice_mm, 2.0, 2.0))
    grid = make_grid(geometry, Crop(0, 0, 64, 64), published_fpr(InputConfig()), Augmentation())
    (start, _, _), box = place((10, 10, first, 20, 20, first + count), grid, (64, 96, 96))
    centre = start + (box[2] + box[5]) / 2 - 0.5
    assert grid.depth_mm(float(centre)) == pytest.approx((first + (count - 1) / 2) * slice_mm, abs=1e-3)
    assert box[5] - box[2] == pytest.approx(count * slice_mm / grid.spacing_mm, abs=1e-3)
    assert abs((box[2] + box[5]) / 2 - 32) <= 0.5


def test_a_patch_shows_the_pixels_that_the_detector_sees():
    volume = volume_of((13, 90, 80), spacing_mm=(5.0, 1.5, 1.5))
    detector = DetectorConfig(experts=("universal",), pixel_mm=2.0, grid_mm=4.0)
    config = FprConfig(pixel_mm=2.0, grid_mm=4.0, patch=(9, 16, 16))
    (first, top, left), _ = place((30, 40, 6, 50, 60, 8), prepare(volume, config).grid, config.patch)
    sample = prepare(volume, detector).sample(first + 4)
    patch = PatchCutter(volume, config).cut((30, 40, 6, 50, 60, 8))
    np.testing.assert_array_equal(patch.voxels, sample[:, top : top + 16, left : left + 16])


def test_beyond_the_volume_the_outermost_voxels_repeat():
    volume = volume_of((6, 40, 50))
    patch = PatchCutter(volume, CONFIG).cut((0, 0, 0, 4, 6, 1))
    x, y, z = (int(value) for value in patch.box[:3])
    assert (x, y, z) == (10, 13, 1)
    np.testing.assert_array_equal(patch.voxels[:z], np.broadcast_to(patch.voxels[z], (z, 32, 24)))
    np.testing.assert_array_equal(patch.voxels[:, :y], np.broadcast_to(patch.voxels[:, y : y + 1], (4, y, 24)))
    np.testing.assert_array_equal(patch.voxels[:, :, :x], np.broadcast_to(patch.voxels[:, :, x : x + 1], (4, 32, x)))
    far = PatchCutter(volume, CONFIG).cut((46, 36, 5, 50, 40, 6))
    np.testing.assert_array_equal(far.voxels[:, :, -1], far.voxels[:, :, -8])


def test_a_box_larger_than_the_patch_is_cut_at_its_borders():
    volume = volume_of((20, 90, 80))
    patch = PatchCutter(volume, CONFIG).cut((5, 10, 2, 75, 30, 18))
    assert patch.box.tolist() == [0, 6, 0, 24, 26, 4]


def test_the_order_of_cutting_changes_nothing():
    volume = volume_of((20, 50, 60))
    boxes = [
        (10.0, 10.0, 15.0, 20.0, 20.0, 17.0),
        (30.0, 20.0, 2.0, 40.0, 30.0, 3.0),
        (25.0, 25.0, 16.0, 30.0, 30.0, 17.0),
    ]
    assert by_depth(boxes) == [1, 0, 2]
    cutter = PatchCutter(volume, CONFIG)
    for box in (*boxes, *boxes):
        np.testing.assert_array_equal(cutter.cut(box).voxels, PatchCutter(volume, CONFIG).cut(box).voxels)


def test_a_volume_thinner_than_a_grid_step_still_gives_a_patch():
    patch = PatchCutter(volume_of((1, 40, 40)), CONFIG).cut((5, 5, 0, 15, 15, 1))
    assert np.ptp(patch.voxels, axis=0).max() == 0
