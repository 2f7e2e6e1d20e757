from dataclasses import replace

import numpy as np
import pytest
import torch
from support.training.training_scenes import BALLS, RECIPE, TINY, cache_of, case_of, lesion_of, set_of, volume_with

from lens_engine.errors import SeriesError
from lens_engine.snapshot import LesionOrigin, LesionRole
from lens_engine.volume import Volume
from lens_training.detector.batches import Batch, BatchMaker, batch_loader
from lens_training.detector.planes import PlaneCache
from lens_training.detector.sampling import BatchPlan
from lens_training.recipes.recipe import AugmentationRecipe

BALL = BALLS["a"]
STILL = AugmentationRecipe(scale=(1.0, 1.0), shift=0, varies_depth=False)


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


LIVER_TOO = TINY.model_copy(update={"experts": (*TINY.experts, "liver")})


def test_a_batch_tells_every_other_expert_its_lesions_and_nothing_of_other_lesions():
    accepted = lesion_of(BALLS["b"], origin=LesionOrigin.DECISION, experts=("universal", "lung"))
    silent = lesion_of(BALLS["a"], origin=LesionOrigin.DECISION, experts=("universal",))
    training_set = set_of(case_of("universal", lesion_of(BALLS["d"]), accepted, silent))
    plan = BatchPlan(training_set, RECIPE.sampling, 0)
    maker = BatchMaker(training_set, cache_of(training_set), plan, LIVER_TOO, STILL, 0)
    batches = [batch for batch in map(maker.batch, range(8)) if batch.labels_elsewhere]
    assert batches
    for batch in batches:
        assert set(batch.labels_elsewhere) == {TINY.experts.index("lung")}
        assert batch.labels_of(batch.expert) is batch.labels
        for labels, own in zip(batch.labels_of(1), batch.labels, strict=True):
            assert len(own.foreign) == 0
            assert labels.lesions.tolist() == [box for box in own.lesions.tolist() if box == [36, 32, 52, 48]]
            assert labels.foreign.tolist() == [box for box in own.lesions.tolist() if box != [36, 32, 52, 48]]


def test_a_batch_tells_every_other_expert_what_was_rejected_in_pixels_of_its_images():
    rejections = [
        lesion_of(BALLS["a"], LesionRole.NEGATIVE, origin=LesionOrigin.DECISION),
        lesion_of(BALLS["b"], LesionRole.NEGATIVE, origin=LesionOrigin.DECISION, experts=("lung",)),
    ]
    training_set = set_of(case_of("lung", lesion_of(BALLS["d"]), *rejections))
    plan = BatchPlan(training_set, RECIPE.sampling, 0)
    maker = BatchMaker(training_set, cache_of(training_set), plan, TINY, STILL, 0)
    batches = [batch for batch in map(maker.batch, range(8)) if batch.labels_elsewhere]
    assert batches
    for batch in batches:
        assert set(batch.labels_elsewhere) == {TINY.experts.index("universal")}
        for labels, own in zip(batch.labels_of(0), batch.labels, strict=True):
            assert len(labels.lesions) == 0
            assert labels.foreign.tolist() == own.lesions.tolist()
            assert all(box in ([14, 18, 26, 30], [36, 32, 52, 48]) for box in own.rejected.tolist())
            assert labels.rejected.tolist() == [box for box in own.rejected.tolist() if box == [14, 18, 26, 30]]


def test_a_batch_without_certain_places_says_nothing_to_other_experts():
    training_set = set_of(case_of("lung", lesion_of(BALL)))
    plan = BatchPlan(training_set, RECIPE.sampling, 0)
    batch = BatchMaker(training_set, cache_of(training_set), plan, TINY, STILL, 0).batch(0)
    assert batch.labels_elsewhere == {}


def test_images_of_a_batch_are_padded_with_zeros_to_a_multiple_of_sixteen():
    training_set = set_of(case_of("lung", lesion_of(BALL), volume=volume_with(BALL)))
    recipe = RECIPE.model_copy(update={"augmentation": AugmentationRecipe(scale=(0.7, 1.2))})
    plan = BatchPlan(training_set, recipe.sampling, 0)
    batch = BatchMaker(training_set, cache_of(training_set), plan, TINY, recipe.augmentation, 0).batch(0)
    assert batch.images.shape[2] % 16 == batch.images.shape[3] % 16 == 0
    for image, (height, width) in zip(batch.images, batch.sizes, strict=True):
        assert not image[:, height:].any()
        assert not image[:, :, width:].any()


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_the_same_for_any_number_of_workers(workers: int):
    training_set = set_of(*(case_of("lung", lesion_of(ball), volume=volume_with(ball)) for ball in BALLS.values()))

    def batches(workers: int, limit_bytes: int) -> list[Batch]:
        plan = BatchPlan(training_set, RECIPE.sampling, seed=5)
        cache = PlaneCache(training_set.cases, limit_bytes)
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
