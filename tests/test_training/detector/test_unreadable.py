import logging
from dataclasses import replace

import pytest
import torch
from support.training.training_scenes import BALLS, RECIPE, TINY, cache_of, case_of, lesion_of, set_of, volume_with

from lens_engine.errors import SeriesError
from lens_engine.volume import Volume
from lens_training.datasets.case import TrainingSet
from lens_training.datasets.unreadable import UnreadableScans
from lens_training.detector.batches import Batch, BatchMaker, batch_loader
from lens_training.detector.sampling import BatchPlan
from lens_training.errors import TrainingInterruptedError

BALL = BALLS["a"]


def unreadable() -> Volume:
    raise SeriesError("File 3 of 9 is cut off", "A whole file", "Copy it again")


def scans(count: int, broken: set[int]) -> TrainingSet:
    volume = volume_with(BALL)
    cases = [replace(case_of("lung", lesion_of(BALL), volume=volume), name=f"scan {number}") for number in range(count)]
    return set_of(*(replace(case, load=unreadable) if number in broken else case for number, case in enumerate(cases)))


def maker_of(training_set: TrainingSet, share: float) -> BatchMaker:
    plan = BatchPlan(training_set, RECIPE.sampling, 0)
    register = UnreadableScans(len(training_set.cases), share)
    return BatchMaker(training_set, cache_of(training_set), plan, TINY, RECIPE.augmentation, 0, register)


def test_a_scan_that_cannot_be_read_is_named_once_and_others_take_its_place(caplog: pytest.LogCaptureFixture):
    maker = maker_of(scans(10, {4}), 0.1)
    with caplog.at_level(logging.WARNING):
        batches = [maker.batch(number) for number in range(2 * maker.plan.batches_per_epoch)]
    assert all(len(batch.sizes) == RECIPE.sampling.batch_size for batch in batches)
    (record,) = caplog.records
    assert "Scan scan 4 is left out (1 of at most 1): File 3 of 9 is cut off" in record.getMessage()


def test_batches_are_the_same_whether_a_scan_is_known_to_be_unreadable_or_not():
    training_set = scans(10, {4})
    once = maker_of(training_set, 0.1)
    for number in range(once.plan.batches_per_epoch):
        again = maker_of(training_set, 0.1)
        assert torch.equal(once.batch(number).images, again.batch(number).images)


def test_too_many_unreadable_scans_end_the_training_and_it_can_go_on():
    maker = maker_of(scans(10, {2, 4, 7}), 0.2)
    with pytest.raises(TrainingInterruptedError, match=r"3 of 10 scans cannot be read, the last one is scan \d"):
        list(map(maker.batch, range(maker.plan.batches_per_epoch)))


def test_processes_that_prepare_batches_count_together():
    training_set = scans(10, {2, 4, 7})
    maker = maker_of(training_set, 0.2)
    made = list(batch_loader(maker, range(3 * maker.plan.batches_per_epoch), 2))
    assert any(isinstance(item, TrainingInterruptedError) for item in made)
    assert any(isinstance(item, Batch) for item in made)


def test_where_no_scan_may_be_unreadable_the_first_one_says_what_is_wrong_and_the_training_can_go_on():
    maker = maker_of(scans(10, set(range(10))), 0.05)
    with pytest.raises(TrainingInterruptedError, match=r"1 of 10 scans .* scan \d: File 3 of 9 is cut off"):
        maker.batch(0)
