import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from lens_engine.detector.config import DetectorConfig, narrow_lens, published_lens
from lens_engine.detector.preprocess import (
    BODY_ABOVE_HU,
    Augmentation,
    Crop,
    PreparedVolume,
    body_rectangle,
    make_grid,
    prepare,
)
from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume

PUBLISHED = published_lens(("universal",))


def plain(voxels, spacing_mm=(2.0, 0.8, 0.8)) -> Volume:
    return Volume(np.asarray(voxels, dtype=np.int16), VolumeGeometry(voxels.shape, spacing_mm))


def test_published_window_maps_its_ends_to_0_and_255_minus_the_mean():
    voxels = np.stack([np.full((32, 32), value) for value in (-1024, 3071, -2000, 1023.5)])
    prepared = prepare(plain(voxels), PUBLISHED)
    values = [float(prepared.network_slice(index)[16, 16]) for index in range(4)]
    assert values == pytest.approx([-50, 205, -50, 77.5], abs=0.05)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.35, 0.65))
def test_body_rectangle_is_that_of_an_opening_with_a_square(seed, level):
    noise = ndimage.uniform_filter(np.random.default_rng(seed).random((2, 40, 36)), (0, 5, 5))
    voxels = np.where(noise > level, 0, -1000).astype(np.int16)
    opened = np.stack([ndimage.binary_opening(s > BODY_ABOVE_HU, np.ones((7, 7))) for s in voxels]).any(axis=0)
    rows, columns = np.nonzero(opened)
    expected = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1) if rows.size else (0, 0, 40, 36)
    found = body_rectangle(voxels)
    assert (found.top, found.left, found.bottom, found.right) == expected


def test_a_thin_table_is_not_body():
    voxels = np.full((1, 60, 60), -1000, dtype=np.int16)
    voxels[0, 10:40, 15:45] = 0
    voxels[0, 50:54, 2:58] = 200
    assert body_rectangle(voxels) == Crop(10, 15, 40, 45)


@pytest.mark.parametrize("voxels", [np.full((3, 20, 30), -1000, np.int16), np.full((1, 5, 6), 100, np.int16)])
def test_without_a_body_the_whole_slice_is_seen(voxels):
    assert body_rectangle(voxels).size == voxels.shape[1:]


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.4, 2.0),
    st.floats(0.4, 2.0),
    st.floats(0.8, 1.2),
    st.tuples(st.integers(-8, 8), st.integers(-8, 8)),
)
def test_boxes_return_from_the_network_unchanged(spacing_y, spacing_x, factor, shift):
    geometry = VolumeGeometry((4, 512, 400), (2.0, spacing_y, spacing_x))
    grid = make_grid(geometry, Crop(20, 30, 480, 390), PUBLISHED, Augmentation(factor, shift))
    boxes = np.array([[40.5, 50.25, 200, 300], [30, 20, 390, 480]])
    np.testing.assert_allclose(grid.to_series(grid.to_network(boxes)), boxes, atol=1e-9)
    assert max(grid.size) <= PUBLISHED.longest_side
    assert all(side % 16 == 0 and side >= own for side, own in zip(grid.padded, grid.size, strict=True))


@pytest.mark.parametrize("config", [PUBLISHED, narrow_lens(("universal",))], ids=["published", "narrow"])
@pytest.mark.parametrize("spacing", [0.5, 0.8, 1.4])
def test_a_bright_square_appears_where_its_mapped_box_is(config, spacing):
    voxels = np.full((3, 256, 256), 0)
    voxels[:, 100:140, 60:110] = 3000
    prepared = prepare(plain(voxels, (config.grid_mm, spacing, spacing)), config, body=Crop(11, 7, 250, 240))
    image = prepared.network_slice(1)
    height, width = prepared.grid.size
    bright = image[:height, :width] > (image.max() + image[height // 8, width // 8]) / 2
    rows, columns = np.nonzero(bright)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    expected = prepared.grid.to_network(np.array([[60, 100, 110, 140]]))[0]
    np.testing.assert_allclose(seen, expected, atol=0.51)


@pytest.mark.parametrize(("spacing", "count"), [(1.0, 5), (2.0, 9), (5.0, 21), (0.7, 3)])
def test_the_slice_grid_starts_at_the_first_slice_and_ends_inside_the_series(spacing, count):
    grid = prepare(plain(np.zeros((9, 16, 16)), (spacing, 0.8, 0.8)), PUBLISHED).grid
    assert (grid.first_mm, grid.count) == (0.0, count)


def test_grid_slices_between_two_slices_are_blended_linearly():
    voxels = np.arange(4)[:, None, None] * np.full((4, 16, 16), 1000)
    prepared = prepare(plain(voxels, (5.0, 0.8, 0.8)), PUBLISHED)
    values = np.array([prepared.network_slice(j)[8, 8] for j in range(prepared.grid.count)])
    hu = (values + 50) / 255 * 4095 - 1024
    np.testing.assert_allclose(hu, np.arange(8) * 2 / 5 * 1000, atol=0.1)


def test_a_training_grid_passes_through_the_chosen_slice():
    volume = plain(np.zeros((9, 16, 16)), (5.0, 0.8, 0.8))
    grid = prepare(volume, PUBLISHED, Augmentation(phase_mm=3 * 5.0)).grid
    index = grid.nearest_grid_index(3)
    assert grid.depth_mm(index) == pytest.approx(15.0)


def test_a_sample_is_nine_slices_head_first_with_repeated_ends():
    voxels = np.arange(4)[:, None, None] * np.full((4, 16, 16), 100)
    prepared = prepare(plain(voxels), PUBLISHED)
    sample = prepared.sample(1)
    assert sample.shape == (9, 16, 16)
    expected = [prepared.network_slice(index)[8, 8] for index in (0, 0, 0, 0, 1, 2, 3, 3, 3)]
    np.testing.assert_array_equal(sample[:, 8, 8], expected)


def test_a_volume_thinner_than_a_grid_step_has_one_grid_slice():
    grid = prepare(plain(np.zeros((2, 16, 16)), (1.0, 0.8, 0.8)), PUBLISHED, Augmentation(phase_mm=1.5)).grid
    assert grid.count == 1
    assert grid.depth_mm(0) <= 1.0


def test_a_shift_moves_only_the_top_and_left_edges():
    geometry = VolumeGeometry((2, 64, 64), (2.0, 0.8, 0.8))
    grid = make_grid(geometry, Crop(4, 10, 60, 50), PUBLISHED, Augmentation(shift=(-8, 5)))
    assert grid.crop == Crop(0, 15, 60, 50)


@pytest.mark.parametrize(("width_voxels", "pixels"), [(600, 600), (700, 640)])
def test_a_wide_patient_keeps_the_size_of_a_pixel_at_inference_but_not_in_training(width_voxels, pixels):
    geometry, body = VolumeGeometry((2, 720, 720), (2.0, 0.8, 0.8)), Crop(0, 0, 400, width_voxels)
    inference, training = (make_grid(geometry, body, PUBLISHED, Augmentation(longest_side=s)) for s in (None, 512))
    assert (inference.size[1], training.size[1]) == (pixels, 512)
    assert inference.scale[1] == pytest.approx(pixels / width_voxels)
    older = PUBLISHED.model_copy(update={"inference_side": None})  # a card that says nothing of it
    assert make_grid(geometry, body, older, Augmentation()) == training


def test_padding_is_zero_after_the_mean():
    prepared = prepare(plain(np.full((2, 20, 20), 500)), DetectorConfig(experts=("a",)))
    image = prepared.network_slice(0)
    assert image.shape == (32, 32)
    assert not image[20:].any()
    assert not image[:, 20:].any()


def noisy_volume(spacing_mm=(5.0, 0.7, 0.9), shape=(9, 60, 50), seed=0) -> Volume:
    return plain(np.random.default_rng(seed).normal(100, 300, shape), spacing_mm)


@pytest.mark.parametrize("config", [PUBLISHED, narrow_lens(("universal",))], ids=["published", "narrow"])
def test_a_sample_is_its_nine_slices_bit_for_bit(config):
    prepared = prepare(noisy_volume(), config, Augmentation(1.13, (2, -1), 3.3))
    expected = [prepared.network_slice(index) for index in range(-1, 8)]
    np.testing.assert_array_equal(prepared.sample(3), expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(-20, 40), st.integers(-20, 40), st.integers(30, 90), st.integers(30, 90), st.booleans())
def test_a_window_shows_a_part_of_the_whole_image(top, left, height, width, is_narrow):
    config = narrow_lens(("universal",)) if is_narrow else PUBLISHED
    whole = prepare(noisy_volume((2.0, 1.1, 1.3), (5, 70, 90)), config, Augmentation(1.07))
    window = PreparedVolume(whole.voxels, whole.grid.window(top, left, height, width), config)
    rows, columns = (slice(max(start, 0), start + side) for start, side in ((top, height), (left, width)))
    expected = whole.image(2)[:, rows, columns]
    np.testing.assert_allclose(window.image(2), expected, atol=1e-4)
    assert window.grid.size == tuple(expected.shape[1:])


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.5, 2.0),
    st.floats(0.8, 1.2),
    st.tuples(st.integers(-8, 8), st.integers(-8, 8)),
    st.tuples(st.integers(-30, 200), st.integers(-30, 200)),
    st.lists(st.tuples(st.floats(0, 400), st.floats(0, 500)), min_size=1, max_size=6),
)
def test_the_mapped_box_of_points_contains_the_mapped_points_in_any_window(spacing, factor, shift, corner, points):
    geometry = VolumeGeometry((4, 512, 400), (2.0, spacing, spacing))
    grid = make_grid(geometry, Crop(20, 30, 480, 390), PUBLISHED, Augmentation(factor, shift)).window(*corner, 300, 260)
    places = np.asarray(points)
    box = grid.to_network(np.concatenate([places.min(axis=0), places.max(axis=0)]))[0]
    mapped = grid.to_network(np.tile(places, 2))[:, :2]
    assert (mapped >= box[:2] - 1e-9).all()
    assert (mapped <= box[2:] + 1e-9).all()
    np.testing.assert_allclose(grid.to_series(grid.to_network(np.tile(places, 2))), np.tile(places, 2), atol=1e-9)


def test_a_volume_that_was_cropped_before_gives_the_same_sample():
    volume = noisy_volume((2.0, 0.9, 0.8))
    grid = prepare(volume, PUBLISHED, body=Crop(10, 7, 50, 45)).grid
    whole = PreparedVolume(volume.voxels, grid, PUBLISHED)
    cropped = PreparedVolume(volume.voxels[:, 6:50, 4:45], grid, PUBLISHED, corner=(6, 4))
    np.testing.assert_array_equal(cropped.sample(4), whole.sample(4))
