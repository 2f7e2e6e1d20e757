from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.training_scenes import BALLS, DEPTH, RECIPE, SIDE, TINY, cache_of, case_of, lesion_of, set_of, volume_with

from lens_engine.detector.preprocess import Augmentation, prepare
from lens_engine.errors import SeriesError
from lens_engine.volume import Volume
from lens_training.datasets.case import Case
from lens_training.datasets.planes import Image, PlaneCache, Planes, kept_planes, placed_planes
from lens_training.detector.augmentation import apply_variation, draw_variation
from lens_training.detector.batches import Batch, BatchMaker, batch_loader
from lens_training.detector.sampling import BatchPlan
from lens_training.recipes.recipe import AugmentationRecipe

BALL = BALLS["a"]
STILL = AugmentationRecipe(scale=(1.0, 1.0), shift=0, varies_depth=False)


@pytest.mark.parametrize("depth_mm", [0.0, 8.0, 13.0, 44.0])
def test_a_sample_is_what_inference_sees_on_a_grid_through_the_same_slice(depth_mm: float):
    volume = volume_with(BALL)
    planes = placed_planes(volume, TINY)
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
    planes = kept_planes(placed_planes(volume_with(BALL), TINY))
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


def counted_cases(count: int) -> tuple[list[Case], list[int]]:
    """Return cases with a list that grows by a case's number whenever it is loaded."""
    loads: list[int] = []

    def case(number: int) -> Case:
        def load() -> Volume:
            loads.append(number)
            return volume_with(BALL, seed=number)

        return replace(case_of("lung", lesion_of(BALL)), name=str(number), load=load)

    return [case(number) for number in range(count)], loads


def test_the_cache_keeps_what_comes_first_and_loads_the_rest_again():
    cases, loads = counted_cases(3)
    kept = DEPTH * SIDE * SIDE * 2  # the body fills the slices: no less is needed
    cache = PlaneCache(cases, TINY, limit_bytes=2 * kept)
    for number in (0, 1, 2, 0, 1, 2):
        assert cache.has_room_for(number) is (number < 2 or len(loads) < 2)
        cache.planes(number)
    assert loads == [0, 1, 2, 2]


def test_a_sample_is_the_same_whether_its_case_is_kept_or_not():
    cases, _ = counted_cases(1)
    kept, placed = (PlaneCache(cases, TINY, limit) for limit in (2**28, 0))
    height, width = kept.planes(0).grid.size
    for depth_mm in (0.0, 8.0, 13.3, 44.0):
        for window in ((slice(0, height), slice(0, width)), (slice(3, 40), slice(10, 20))):
            one, other = (cache.planes(0).nine_slices(depth_mm, TINY.grid_mm, window) for cache in (kept, placed))
            np.testing.assert_array_equal(one, other)


def test_a_case_without_room_makes_only_the_slices_of_its_sample():
    made: list[int] = []
    planes = placed_planes(volume_with(BALL), TINY)

    def image(index: int) -> Image:
        made.append(index)
        return planes.image(index)

    everything = slice(0, 64), slice(0, 64)
    Planes(planes.grid, image).nine_slices(6 * 4.0, TINY.grid_mm, everything)
    assert sorted(made) == list(range(2, 11))


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_the_same_for_any_number_of_workers(workers: int):
    training_set = set_of(*(case_of("lung", lesion_of(ball), volume=volume_with(ball)) for ball in BALLS.values()))

    def batches(workers: int, limit_bytes: int) -> list[Batch]:
        plan = BatchPlan(training_set, RECIPE.sampling, seed=5)
        cache = PlaneCache(training_set.cases, TINY, limit_bytes)
        maker = BatchMaker(training_set, cache, plan, TINY, RECIPE.augmentation, 5)
        return [batch for batch in batch_loader(maker, range(2, 9, 2), workers) if isinstance(batch, Batch)]

    expected, found = batches(0, 2**28), batches(workers, 0)
    assert [batch.number for batch in found] == [2, 4, 6, 8]
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one.images, other.images)
        assert (one.sizes, one.expert) == (other.sizes, other.expert)
        for labels, others in zip(one.labels, other.labels, strict=True):
            np.testing.assert_array_equal(labels.lesions, others.lesions)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_scan_that_cannot_be_read_comes_out_of_the_loader_as_its_error(workers: int):
    def load() -> Volume:
        raise SeriesError("Scan 7 is cut off", "A whole file", "Copy it again")

    training_set = set_of(replace(case_of("lung", lesion_of(BALL)), load=load))
    plan = BatchPlan(training_set, RECIPE.sampling, 0)
    maker = BatchMaker(training_set, cache_of(training_set), plan, TINY, RECIPE.augmentation, 0)
    (failure,) = batch_loader(maker, range(1), workers)
    assert isinstance(failure, SeriesError)
    assert str(failure) == "Scan 7 is cut off. A whole file. Copy it again."
