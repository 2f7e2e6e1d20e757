from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.training.training_scenes import BALLS, SIDE, TINY, volume_with

from lens_engine.detector.config import narrow_lens, published_lens
from lens_engine.detector.input_config import CropScope, InputConfig
from lens_engine.detector.preprocess import Augmentation, make_grid, prepare, prepare_samples
from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume
from lens_training.detector.augmentation import Variation, draw_variation, offset_mm_of
from lens_training.detector.planes import cropped_planes, planes_of
from lens_training.detector.sampling import SampleKind, SliceChoice
from lens_training.recipes.recipe import AugmentationRecipe

BALL = BALLS["a"]
BALL_BOX = (14.0, 18.0, 26.0, 30.0)
STILL = AugmentationRecipe(scale=(1.0, 1.0), shift=0, varies_depth=False)
PUBLISHED, NARROW = published_lens(("universal",)), narrow_lens(("universal",))
SLICE_INTERVALS_MM = (0.7, 1.0, 2.5, 5.0)


def choice_of(slice_index: int, *, has_focus: bool = True) -> SliceChoice:
    return SliceChoice(0, slice_index, SampleKind.LESION, BALL_BOX if has_focus else None)


def drawn(recipe: AugmentationRecipe, volume: Volume, slice_index: int, seed: int = 0, config: InputConfig = TINY):
    generator = np.random.default_rng(seed)
    return draw_variation(recipe, planes_of(volume), config, choice_of(slice_index), generator)


def image_of(volume: Volume, variation: Variation, config: InputConfig = TINY) -> NDArray[np.float32]:
    return planes_of(volume).image(variation.grid, variation.grid_index, config).numpy()


def noise(slice_mm: float, pixel_mm: float, *, length_mm: float = 120.0, side: int = 96) -> Volume:
    """Return white noise, of which the published window cuts nothing off."""
    shape = round(length_mm / slice_mm), side, side
    voxels = np.random.default_rng(0).normal(0, 100, shape).astype(np.int16)
    return Volume(voxels, VolumeGeometry(shape, (slice_mm, pixel_mm, pixel_mm)))


def moments(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what white noise became: its power, and the covariances of neighbours along z, y and x.

    Ends of the volume, where a slice is repeated, are no part of the samples.
    """
    values = samples.astype(np.float64) - samples.mean()
    along_z = (values[:, 1:] * values[:, :-1]).mean()
    along_y, along_x = (values[:, :, 1:] * values[:, :, :-1]).mean(), (values[..., 1:] * values[..., :-1]).mean()
    return np.array([values.var(), along_z, along_y, along_x])


def training_samples(volume: Volume, recipe: AugmentationRecipe, count: int) -> list[NDArray[np.float32]]:
    """Return the nine slices of samples around random slices far from the ends."""
    generator, planes = np.random.default_rng(1), planes_of(volume)
    margin = int(np.ceil(10 / volume.geometry.spacing_mm[0]))
    places = generator.integers(margin, volume.geometry.shape[0] - margin, size=count)
    variations = [
        draw_variation(recipe, planes, PUBLISHED, choice_of(int(place), has_focus=False), generator) for place in places
    ]
    return [planes.image(own.grid, own.grid_index, PUBLISHED).numpy() for own in variations]


def inference_samples(volume: Volume) -> NDArray[np.float32]:
    """Return the nine slices around every grid slice far from the ends."""
    prepared = prepare(volume, PUBLISHED)
    return np.stack([prepared.image(index).numpy() for index in range(5, prepared.grid.count - 5)])


@pytest.mark.parametrize("slice_mm", SLICE_INTERVALS_MM)
def test_noise_is_as_strong_and_as_rough_in_training_as_at_inference(slice_mm: float):
    """At the pixel size of the network, scale 1: in plane neither interpolates, so that only the depth can differ."""
    volume = noise(slice_mm, PUBLISHED.pixel_mm)
    recipe = AugmentationRecipe(scale=(1.0, 1.0), shift=8)
    trained = np.mean([moments(sample[None]) for sample in training_samples(volume, recipe, 160)], axis=0)
    inferred = moments(inference_samples(volume))
    np.testing.assert_allclose(trained / inferred[0], inferred / inferred[0], atol=0.05)


@pytest.mark.parametrize("slice_mm", SLICE_INTERVALS_MM)
def test_the_central_slice_is_as_sharp_in_training_as_at_inference(slice_mm: float):
    volume = noise(slice_mm, PUBLISHED.pixel_mm)
    recipe = AugmentationRecipe(scale=(1.0, 1.0), shift=8)
    trained = np.mean([sample[4].var() for sample in training_samples(volume, recipe, 160)])
    inferred = inference_samples(volume)[:, 4].var()
    # Labels reach half a grid step, so that at 5 mm the most interpolated centres of inference are a little less so.
    assert np.sqrt(trained / inferred) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("slice_mm", SLICE_INTERVALS_MM)
def test_the_published_scales_change_the_noise_no_more_than_other_pixel_sizes_do(slice_mm: float):
    """At 0.7 mm pixels inference interpolates in plane as a scaled look does; at 0.8 mm only the latter would."""
    volume = noise(slice_mm, 0.7, side=160)
    trained = np.mean([sample.var() for sample in training_samples(volume, AugmentationRecipe(), 160)])
    assert trained / inference_samples(volume).var() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("config", [PUBLISHED, NARROW], ids=["published", "narrow"])
@pytest.mark.parametrize("slice_mm", SLICE_INTERVALS_MM)
def test_without_any_variation_a_sample_is_that_of_inference_bit_for_bit(config: InputConfig, slice_mm: float):
    volume, slice_index = noise(slice_mm, 0.7), 20
    expected = prepare(volume, config, Augmentation(phase_mm=slice_index * slice_mm))  # the same grid passes through it
    index = expected.grid.nearest_grid_index(slice_index)
    height, width = expected.grid.size
    found = image_of(volume, drawn(STILL, volume, slice_index, config=config), config)
    np.testing.assert_array_equal(found, expected.sample(index)[:, :height, :width])
    if (slice_index * slice_mm / config.grid_mm).is_integer():
        inferred = prepare(volume, config)
        np.testing.assert_array_equal(found, inferred.image(inferred.grid.nearest_grid_index(slice_index)))


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.8, 1.2), is_narrow=st.booleans())
def test_a_scaled_look_is_what_inference_sees_of_a_patient_who_is_as_much_larger(factor: float, is_narrow: bool):
    config, volume = NARROW if is_narrow else PUBLISHED, noise(2.5, 0.7, length_mm=40, side=40)
    slice_mm, *pixel_mm = volume.geometry.spacing_mm
    larger = replace(
        volume, geometry=VolumeGeometry(volume.voxels.shape, (slice_mm, *(factor * mm for mm in pixel_mm)))
    )
    recipe = STILL.model_copy(update={"scale": (factor, factor)})
    found = image_of(volume, drawn(recipe, volume, 8, config=config), config)
    expected = image_of(larger, drawn(STILL, larger, 8, config=config), config)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("slice_mm", "offsets_mm"),
    [
        (1.0, {0.0}),
        (2.0, {0.0}),
        (2.5, {-1.0, -0.5, 0.0, 0.5, 1.0}),
        (4.0, {-1.0, 0.0, 1.0}),  # inference lies 2 mm beside a slice, half a grid step is 1 mm
        (5.0, {-1.0, 0.0, 1.0}),
    ],
)
def test_a_sample_lies_beside_its_slice_only_where_inference_interpolates(slice_mm: float, offsets_mm: set[float]):
    volume = noise(slice_mm, 0.8, side=20)
    grid = prepare(volume, PUBLISHED).grid
    assert {round(offset_mm_of(index, grid), 6) for index in range(grid.count)} == offsets_mm
    depths = set()
    for seed in range(60):
        variation = drawn(AugmentationRecipe(), volume, 10, seed, PUBLISHED)
        depths.add(round(variation.grid.depth_mm(variation.grid_index) - 10 * slice_mm, 6))
    assert depths == offsets_mm


@pytest.mark.parametrize("slice_index", [0, 11])
def test_a_sample_of_an_end_slice_stays_inside_the_series(slice_index: int):
    volume = noise(5.0, 0.8, length_mm=60, side=20)
    for seed in range(20):
        variation = drawn(AugmentationRecipe(), volume, slice_index, seed, PUBLISHED)
        assert abs(variation.grid.depth_mm(variation.grid_index) - slice_index * 5) <= 1
        assert 0 <= variation.grid.depth_mm(variation.grid_index) <= 55


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), side=st.sampled_from([32, 48, 96]))
def test_the_drawn_window_always_shows_the_centre_of_the_lesion(seed: int, side: int):
    grid = drawn(AugmentationRecipe(crop_side=side), volume_with(BALL), BALL.z, seed).grid
    box = grid.to_network(np.array([BALL_BOX]))[0]
    centre = (box[:2] + box[2:]) / 2
    assert (centre > 0).all()
    assert (centre < grid.size[::-1]).all()
    assert max(grid.size) <= side


@pytest.mark.parametrize("crop_side", [None, 48])
def test_the_label_follows_the_lesion_through_scaling_and_cropping(crop_side: int | None):
    volume = volume_with(BALL)
    for seed in range(10):
        recipe = AugmentationRecipe(crop_side=crop_side, varies_depth=False)
        variation = drawn(recipe, volume, BALL.z, seed)
        image = image_of(volume, variation)[4]
        x1, y1, x2, y2 = np.clip(variation.grid.to_network(np.array([BALL_BOX]))[0], 0, None)
        rows, columns = np.nonzero(image > image.max() * 0.6)
        assert abs(columns.mean() + 0.5 - (x1 + x2) / 2) < 1.5
        assert abs(rows.mean() + 0.5 - (y1 + y2) / 2) < 1.5


def test_a_window_reaches_no_further_than_the_image():
    volume = volume_with(BALL)
    sizes = {drawn(AugmentationRecipe(crop_side=48), volume, BALL.z, seed).grid.size for seed in range(30)}
    assert all(max(size) <= 48 for size in sizes)
    assert any(min(size) < 48 for size in sizes), "no window left the image; the test shows nothing"


def test_a_shift_moves_the_upper_and_the_left_edge_of_a_whole_slice_by_voxels():
    volume = volume_with(BALL)
    grids = [drawn(AugmentationRecipe(scale=(1.0, 1.0), shift=8), volume, BALL.z, seed).grid for seed in range(60)]
    assert {grid.crop.top for grid in grids} == {grid.crop.left for grid in grids} == set(range(9))  # floored at 0
    assert {(grid.crop.bottom, grid.crop.right) for grid in grids} == {(SIDE, SIDE)}


@pytest.mark.parametrize("inference_side", [None, 160])
def test_enlarging_stops_at_the_longest_side_of_training_whatever_inference_shows(inference_side: int | None):
    volume = noise(5.0, 0.8, length_mm=30, side=130)
    recipe = AugmentationRecipe(scale=(1.2, 1.2))
    config = TINY.model_copy(update={"pixel_mm": 0.8, "inference_side": inference_side})
    assert max(drawn(recipe, volume, 2, config=config).grid.size) == TINY.max_side


def test_a_shift_beyond_the_crop_is_within_the_longest_side_as_well():
    voxels = np.full((3, 140, 140), -1000, dtype=np.int16)
    voxels[:, 10:136, 10:136] = 0
    volume = Volume(voxels, VolumeGeometry(voxels.shape, (5.0, 0.8, 0.8)))
    config = TINY.model_copy(update={"pixel_mm": 0.8})
    sizes = [drawn(AugmentationRecipe(), volume, 1, seed, config).grid.size for seed in range(40)]
    assert max(map(max, sizes)) == TINY.max_side


@pytest.mark.parametrize("crop", CropScope)
def test_training_crops_as_inference_does(crop: CropScope):
    """A body that tapers, on the network's own grid: samples of both are the same to the bit."""
    voxels = np.full((5, 60, 60), -1000, dtype=np.int16)
    for index in range(4):  # the last slice is air
        voxels[index, 20 - 4 * index : 50, 12 + 3 * index : 56] = np.random.default_rng(index).integers(-500, 500)
    volume = Volume(voxels, VolumeGeometry(voxels.shape, (4.0, 1.6, 1.6)))
    config = TINY.model_copy(update={"crop": crop})
    planes = cropped_planes(planes_of(volume))
    crops = set()
    for index, seen in enumerate(prepare_samples(volume, config)):
        variation = draw_variation(STILL, planes, config, choice_of(index), np.random.default_rng(0))
        assert variation.grid.crop == seen.grid.crop
        found = planes.image(variation.grid, variation.grid_index, config)
        np.testing.assert_array_equal(found, seen.image(index))
        crops.add(variation.grid.crop)
    assert len(crops) == (1 if crop is CropScope.VOLUME else 5)


def test_the_same_generator_draws_the_same_look():
    volume = volume_with(BALL)
    one, other = (drawn(AugmentationRecipe(crop_side=48), volume, 5, seed=3) for _ in range(2))
    assert one == other
    assert one != drawn(AugmentationRecipe(crop_side=48), volume, 5, seed=4)
    assert torch.equal(*(torch.from_numpy(image_of(volume, look)) for look in (one, other)))
    assert one.grid.count == make_grid(volume.geometry, planes_of(volume).body, TINY, Augmentation()).count


def test_a_mirrored_sample_shows_the_mirrored_scan_and_its_boxes():
    volume = volume_with(BALL)
    variation = drawn(STILL, volume, BALL.z)
    image = torch.from_numpy(image_of(volume, variation))
    for axis in range(3):
        flips = (axis == 0, axis == 1, axis == 2)
        mirrored = replace(variation, flips=flips)
        turned = planes_of(Volume(np.flip(volume.voxels, axis), volume.geometry))
        depth = volume.voxels.shape[0] - 1 - BALL.z if axis == 0 else BALL.z
        expected = turned.image(variation.grid, depth, TINY)
        torch.testing.assert_close(mirrored.mirrored(image), expected)
        (x1, y1, x2, y2) = mirrored.to_image(np.array([BALL_BOX]))[0]
        inside = mirrored.mirrored(image)[4, int(y1) + 3 : int(y2) - 3, int(x1) + 3 : int(x2) - 3]
        assert inside.min() > image[4].median() + 5


def test_samples_are_mirrored_along_every_axis_in_half_of_all_draws_where_a_recipe_says_so():
    volume = volume_with(BALL)
    recipe = STILL.model_copy(update={"flips": True})
    flips = np.array([drawn(recipe, volume, BALL.z, seed).flips for seed in range(60)])
    assert ((flips.mean(axis=0) > 0.3) & (flips.mean(axis=0) < 0.7)).all()
    assert drawn(STILL, volume, BALL.z).flips == (False, False, False)
