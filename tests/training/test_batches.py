from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lens_engine.detector.preprocess import Augmentation, prepare
from lens_training.augmentation import apply_variation, draw_variation
from lens_training.batches import BatchMaker
from lens_training.datasets.planes import PlaneCache, make_planes
from lens_training.recipe import AugmentationRecipe
from lens_training.sampling import BatchPlan
from training.scenes import BALLS, RECIPE, TINY, cache_of, case_of, lesion_of, set_of, volume_with

BALL = BALLS["a"]
STILL = AugmentationRecipe(scale=(1.0, 1.0), shift=0, varies_depth=False)


@pytest.mark.parametrize("depth_mm", [0.0, 8.0, 13.0, 44.0])
def test_a_sample_is_what_inference_sees_on_a_grid_through_the_same_slice(depth_mm: float):
    volume = volume_with(BALL)
    planes = make_planes(volume, TINY)
    height, width = planes.grid.size
    nine = planes.nine_slices(depth_mm, TINY.grid_mm, (slice(0, height), slice(0, width)))
    prepared = prepare(volume, TINY, Augmentation(phase_mm=depth_mm % TINY.grid_mm))
    expected = prepared.sample(int(depth_mm // TINY.grid_mm))[:, :height, :width]
    np.testing.assert_allclose(nine, expected, atol=0.2)  # stored with half precision


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), side=st.sampled_from([32, 48, 96]))
def test_the_drawn_window_always_shows_the_centre_of_the_lesion(seed: int, side: int):
    focus = np.array([14.0, 18.0, 26.0, 30.0])
    recipe = AugmentationRecipe(crop_side=side)
    variation = draw_variation(recipe, (64, 64), focus, np.random.default_rng(seed))
    box = variation.to_input(focus[None])[0]
    centre = (box[:2] + box[2:]) / 2
    assert (centre > 0).all()
    assert (centre < side).all()


def test_the_label_follows_the_lesion_through_scaling_and_cropping():
    planes = make_planes(volume_with(BALL), TINY)
    for seed in range(10):
        recipe = AugmentationRecipe(crop_side=48, varies_depth=False)
        focus = planes.grid.to_network(np.array([[14.0, 18.0, 26.0, 30.0]]))
        variation = draw_variation(recipe, planes.grid.size, focus[0], np.random.default_rng(seed))
        image = apply_variation(planes, BALL.z, variation, TINY)[4]
        x1, y1, x2, y2 = np.clip(variation.to_input(focus)[0], 0, None)
        rows, columns = np.nonzero((image > image.max() * 0.6).numpy())
        assert abs(columns.mean() + 0.5 - (x1 + x2) / 2) < 1.5
        assert abs(rows.mean() + 0.5 - (y1 + y2) / 2) < 1.5


def test_a_batch_is_made_again_from_its_step_alone():
    training_set = set_of(*(case_of("lung", lesion_of(ball), volume=volume_with(ball)) for ball in BALLS.values()))

    def maker() -> BatchMaker:
        plan = BatchPlan(training_set, RECIPE.sampling, seed=5)
        return BatchMaker(training_set, cache_of(training_set), plan, TINY, RECIPE.augmentation, 5)

    first = [maker().batch(step) for step in (0, 1, 7)][-1]
    again = maker().batch(7)
    assert torch.equal(first.images, again.images)
    for one, other in zip(first.labels, again.labels, strict=True):
        np.testing.assert_array_equal(one.lesions, other.lesions)


def test_images_of_a_batch_are_padded_with_zeros_to_a_multiple_of_sixteen():
    training_set = set_of(case_of("lung", lesion_of(BALL), volume=volume_with(BALL)))
    recipe = RECIPE.model_copy(update={"augmentation": AugmentationRecipe(scale=(0.7, 1.2))})
    plan = BatchPlan(training_set, recipe.sampling, 0)
    batch = BatchMaker(training_set, cache_of(training_set), plan, TINY, recipe.augmentation, 0).batch(0)
    assert batch.images.shape[2] % 16 == batch.images.shape[3] % 16 == 0
    for image, (height, width) in zip(batch.images, batch.sizes, strict=True):
        assert not image[:, height:].any()
        assert not image[:, :, width:].any()


def test_the_cache_drops_what_was_not_used_for_longest_and_loads_it_again():
    loads: list[int] = []

    def case(number: int):
        ball_case = case_of("lung", lesion_of(BALL))

        def load():
            loads.append(number)
            return volume_with(BALL, seed=number)

        return replace(ball_case, name=str(number), load=load)

    cases = [case(number) for number in range(3)]
    one = make_planes(volume_with(BALL), TINY).pixels.nbytes
    cache = PlaneCache(cases, TINY, limit_bytes=2 * one)
    for number in (0, 1, 0, 2, 0, 1):
        cache.planes(number)
    assert loads == [0, 1, 2, 1]
