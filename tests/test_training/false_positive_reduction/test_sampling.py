import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.training.fpr_findings import RECIPE

from lens_engine.errors import ProjectError
from lens_training.false_positive_reduction.samples import Meaning, Sample
from lens_training.false_positive_reduction.sampling import PatchPlan, without_surplus

TWO_TO_ONE = RECIPE.model_copy(update={"negatives_per_positive": 2.0, "batch_size": 6})


def meanings_of(lesions: int, others: int, rejected: int = 0) -> list[Meaning]:
    return [Meaning.LESION] * lesions + [Meaning.FALSE_POSITIVE] * others + [Meaning.REJECTED] * rejected


def epoch(plan: PatchPlan, number: int = 0) -> np.ndarray:
    steps = range(number * plan.batches_per_epoch, (number + 1) * plan.batches_per_epoch)
    return np.concatenate([plan.batch(step) for step in steps])


@given(st.integers(1, 20), st.integers(1, 60), st.integers(0, 8), st.integers(0, 3))
def test_an_epoch_shows_every_lesion_and_every_rejected_place_and_keeps_the_ratio(lesions, others, rejected, number):
    meanings = meanings_of(lesions, others, rejected)
    plan = PatchPlan(meanings, TWO_TO_ONE, seed=0)
    drawn = epoch(plan, number)
    assert {*range(lesions), *range(lesions + others, len(meanings))} <= set(drawn.tolist())
    wanted = lesions + max(2 * lesions, rejected)
    assert len(drawn) == -(-wanted // 6) * 6
    negatives = {row for row in drawn.tolist() if row >= lesions}
    assert len(negatives) == min(max(2 * lesions, rejected), others + rejected)


def test_epochs_draw_other_false_positives():
    plan = PatchPlan(meanings_of(4, 100), TWO_TO_ONE, seed=0)
    assert plan.steps_in(1) == 2 * plan.batches_per_epoch
    assert plan.steps_in(3) == -(-2 * plan.batches_per_epoch // 3)
    assert set(epoch(plan, 0).tolist()) != set(epoch(plan, 1).tolist())


def test_seed_and_step_decide_a_batch():
    one, same, other = (PatchPlan(meanings_of(9, 40), TWO_TO_ONE, seed) for seed in (1, 1, 2))
    for step in (3, 0, 5):
        np.testing.assert_array_equal(one.batch(step), same.batch(step))
    assert any(not np.array_equal(one.batch(step), other.batch(step)) for step in range(5))


@pytest.mark.parametrize(
    ("meanings", "message"),
    [(meanings_of(0, 5, 1), r"None of .* \(6 are false positives\)"), (meanings_of(3, 0), "All 3 usable findings")],
)
def test_one_class_alone_is_refused(meanings: list[Meaning], message: str):
    with pytest.raises(ProjectError, match=message):
        PatchPlan(meanings, RECIPE, seed=0)


def test_false_positives_beyond_the_room_are_left_out_and_nothing_else():
    samples = [Sample(0, (0, 0, z, 1, 1, z + 1), meaning) for z, meaning in enumerate(meanings_of(3, 50, 2))]
    kept = without_surplus(samples, TWO_TO_ONE, most=15, seed=0)
    assert len(kept) == 15
    assert [sample for sample in kept if sample.meaning is not Meaning.FALSE_POSITIVE] == [*samples[:3], *samples[-2:]]
    assert [sample.box[2] for sample in kept] == sorted(sample.box[2] for sample in kept)
    assert kept == without_surplus(samples, TWO_TO_ONE, most=15, seed=0)
    assert kept != without_surplus(samples, TWO_TO_ONE, most=15, seed=1)


def test_no_more_false_positives_are_kept_than_all_epochs_can_show():
    samples = [Sample(0, (0, 0, 0, 1, 1, 1), meaning) for meaning in meanings_of(3, 50)]
    assert len(without_surplus(samples, TWO_TO_ONE, most=1000, seed=0)) == 3 + 2 * 6


def test_a_limit_that_does_not_hold_an_epoch_is_refused():
    samples = [Sample(0, (0, 0, 0, 1, 1, 1), meaning) for meaning in meanings_of(3, 50, 2)]
    with pytest.raises(ProjectError, match=r"3 lesions, 2 rejected .* are 11, but patches_gib holds 10"):
        without_surplus(samples, TWO_TO_ONE, most=10, seed=0)
