import pytest

from lens_engine.errors import ProjectError
from lens_engine.snapshot import LesionOrigin, LesionRole
from lens_training.datasets.case import TrainingSet
from lens_training.recipe import SamplingRecipe
from lens_training.sampling import BatchPlan, SampleKind, SliceChoice
from training.scenes import Ball, case_of, key_slice_lesion, lesion_of, set_of

RECIPE = SamplingRecipe(batch_size=4)


def balls(count: int) -> list[Ball]:
    return [Ball(10 + 4 * number, 20, 2 + number % 3, 8) for number in range(count)]


def mixed_set(*, uses_unlabelled: bool = False) -> TrainingSet:
    universal = case_of("universal", *(key_slice_lesion(ball) for ball in balls(8)))
    lung = case_of("lung", *(lesion_of(ball) for ball in balls(8)))
    return set_of(universal, lung, uses_unlabelled=uses_unlabelled)


def epoch_of(plan: BatchPlan, epoch: int = 0) -> list[tuple[SliceChoice, ...]]:
    return [plan.batch(epoch * plan.batches_per_epoch + step) for step in range(plan.batches_per_epoch)]


def test_every_batch_holds_slices_of_one_data_set_only():
    training_set = mixed_set()
    for batch in epoch_of(BatchPlan(training_set, RECIPE, seed=1)):
        assert len(batch) == RECIPE.batch_size
        assert len({training_set.cases[choice.case].dataset for choice in batch}) == 1


def test_an_epoch_shows_every_lesion_once_and_half_as_many_slices_without_one():
    plan = BatchPlan(mixed_set(), RECIPE, seed=1)
    lung = [choice for batch in epoch_of(plan) for choice in batch if choice.case == 1]
    assert sum(choice.kind is SampleKind.LESION for choice in lung) == 8
    assert sum(choice.kind is SampleKind.FREE for choice in lung) == 4
    assert len({choice.focus for choice in lung if choice.kind is SampleKind.LESION}) == 8


def test_slices_without_a_label_are_negatives_of_a_universal_set_only_after_mining():
    def free(*, uses_unlabelled: bool) -> int:
        plan = BatchPlan(mixed_set(uses_unlabelled=uses_unlabelled), RECIPE, seed=1)
        chosen = [choice for batch in epoch_of(plan) for choice in batch if choice.case == 0]
        return sum(choice.kind is SampleKind.FREE for choice in chosen)

    assert free(uses_unlabelled=False) == 0
    assert free(uses_unlabelled=True) == 4


def test_a_batch_depends_on_the_seed_and_the_step_alone():
    forward, backward = (BatchPlan(mixed_set(), RECIPE, seed=3) for _ in range(2))
    steps = range(3 * forward.batches_per_epoch)
    late_first = {step: backward.batch(step) for step in reversed(steps)}
    assert [forward.batch(step) for step in steps] == [late_first[step] for step in steps]
    assert BatchPlan(mixed_set(), RECIPE, seed=4).batch(0) != forward.batch(0)


def test_another_epoch_draws_other_slices():
    plan = BatchPlan(mixed_set(), RECIPE, seed=1)
    assert epoch_of(plan, 0) != epoch_of(plan, 1)


def test_rejected_places_come_before_other_slices_without_a_lesion():
    rejections = [
        lesion_of(ball, LesionRole.NEGATIVE, origin=LesionOrigin.DECISION, experts=("lung",)) for ball in balls(3)
    ]
    training_set = set_of(case_of("lung", *(lesion_of(ball) for ball in balls(8)), *rejections))
    chosen = [choice for batch in epoch_of(BatchPlan(training_set, RECIPE, seed=1)) for choice in batch]
    assert sum(choice.kind is SampleKind.REJECTED for choice in chosen) == 3
    assert sum(choice.kind is SampleKind.FREE for choice in chosen) == 1


def test_a_set_without_labels_is_refused_with_the_number_of_cases():
    with pytest.raises(ProjectError, match="None of the 2 scans"):
        BatchPlan(set_of(case_of("universal"), case_of("lung")), RECIPE, seed=0)
