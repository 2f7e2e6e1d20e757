from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.training.training_scenes import DEPTH, Ball, case_of, key_slice_lesion, lesion_of, set_of, volume_with

from lens_engine.errors import ProjectError
from lens_engine.snapshot import LesionOrigin, LesionRole
from lens_training.datasets.case import TrainingSet
from lens_training.detector.sampling import BatchPlan, SampleKind, SliceChoice
from lens_training.recipes.recipe import SamplingRecipe

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


def lung_set(lesions: int, rejections: int) -> TrainingSet:
    """Return a lung scan with so many lesions and so many rejected places."""
    rejected = [lesion_of(ball, LesionRole.NEGATIVE, origin=LesionOrigin.DECISION) for ball in balls(rejections)]
    return set_of(case_of("lung", *(lesion_of(ball) for ball in balls(lesions)), *rejected))


def kinds_of(plan: BatchPlan, epoch: int = 0) -> Counter[SampleKind]:
    """Count the distinct slices of an epoch; what fills its last batch was drawn before."""
    return Counter(choice.kind for choice in {choice for batch in epoch_of(plan, epoch) for choice in batch})


@pytest.mark.parametrize(("rejections", "drawn"), [(1, 1), (3, 3), (4, 4), (9, 4)])
def test_rejected_places_are_drawn_on_top_of_lesion_free_slices_up_to_their_share(rejections: int, drawn: int):
    plan = BatchPlan(lung_set(8, rejections), RECIPE, seed=1)
    assert kinds_of(plan) == {SampleKind.LESION: 8, SampleKind.FREE: 4, SampleKind.REJECTED: drawn}


@settings(max_examples=60, deadline=None)
@given(
    lesions=st.integers(1, 8),
    rejections=st.integers(0, 12),
    free_share=st.floats(0, 3),
    rejected_share=st.floats(0.01, 3),
    seed=st.integers(0, 2**31),
)
def test_rejections_never_take_the_place_of_lesion_free_slices(
    lesions: int, rejections: int, free_share: float, rejected_share: float, seed: int
):
    recipe = SamplingRecipe(batch_size=1, negatives_per_positive=free_share, rejected_per_positive=rejected_share)
    without, with_them = (kinds_of(BatchPlan(lung_set(lesions, count), recipe, seed)) for count in (0, rejections))
    assert with_them[SampleKind.FREE] == without[SampleKind.FREE]
    assert with_them[SampleKind.LESION] == without[SampleKind.LESION] == lesions
    at_most = min(max(round(rejected_share * lesions), 1), rejections)
    assert with_them[SampleKind.REJECTED] == at_most
    assert without[SampleKind.REJECTED] == 0


def test_every_rejected_place_gets_its_turn():
    plan = BatchPlan(lung_set(2, 6), SamplingRecipe(batch_size=1), seed=0)
    seen = {
        choice.focus for epoch in range(60) for (choice,) in epoch_of(plan, epoch) if choice.kind is SampleKind.REJECTED
    }
    assert len(seen) == 6


def test_a_data_set_in_which_everything_was_rejected_shows_one_place_an_epoch():
    plan = BatchPlan(lung_set(0, 5), SamplingRecipe(batch_size=1), seed=0)
    assert kinds_of(plan) == {SampleKind.REJECTED: 1}


def test_a_set_without_labels_is_refused_with_the_number_of_cases():
    with pytest.raises(ProjectError, match="None of the 2 scans"):
        BatchPlan(set_of(case_of("universal"), case_of("lung")), RECIPE, seed=0)


VOLUME = volume_with()


@dataclass(frozen=True)
class Draw:
    """A training set with the slices on which its lesions lie, and how it is sampled."""

    training_set: TrainingSet
    lesions: dict[str, list[int]]
    recipe: SamplingRecipe
    seed: int
    epoch: int

    def chosen(self, dataset: str) -> list[SliceChoice]:
        plan = BatchPlan(self.training_set, self.recipe, self.seed)
        batches = epoch_of(plan, self.epoch)
        return [choice for batch in batches for choice in batch if self.dataset_of(choice) == dataset]

    def dataset_of(self, choice: SliceChoice) -> str:
        return self.training_set.cases[choice.case].dataset


@st.composite
def draws(draw: st.DrawFn) -> Draw:
    """Return sets of two cases per data set, with lesions on any slices, of which at least one exists."""
    centres = st.lists(st.integers(1, DEPTH - 2), max_size=7)
    cases, lesions = [], {"universal": draw(centres), "lung": draw(centres.filter(len))}
    for dataset, make in (("universal", key_slice_lesion), ("lung", lesion_of)):
        marked = [make(Ball(10 + 6 * number, 20, z, 4)) for number, z in enumerate(lesions[dataset])]
        cases += [case_of(dataset, *marked[half::2], volume=VOLUME) for half in range(2)]
    recipe = SamplingRecipe(batch_size=draw(st.integers(1, 5)))
    training_set = set_of(*cases, uses_unlabelled=draw(st.booleans()))
    return Draw(training_set, lesions, recipe, draw(st.integers(0, 2**31)), draw(st.integers(0, 3)))


@pytest.mark.parametrize("dataset", ["universal", "lung"])
@settings(max_examples=60, deadline=None)
@given(drawn=draws())
def test_an_epoch_draws_every_lesion_once_and_negatives_for_half_of_them_but_for_what_fills_the_last_batch(
    dataset: str, drawn: Draw
):
    chosen = drawn.chosen(dataset)
    count = len(drawn.lesions[dataset])
    cases = [(n, case) for n, case in enumerate(drawn.training_set.cases) if case.dataset == dataset]
    free = {(n, index) for n, case in cases for index in case.labels.lesion_free_slices(DEPTH)}
    has_negatives = dataset == "lung" or drawn.training_set.uses_unlabelled
    negatives = min(round(count / 2), len(free)) if has_negatives else 0

    assert len(chosen) == -(-(count + negatives) // drawn.recipe.batch_size) * drawn.recipe.batch_size
    times = Counter(chosen)
    assert sum(times.values()) - len(times) == -(count + negatives) % drawn.recipe.batch_size
    assert Counter(choice.kind for choice in times) == Counter(
        {kind: n for kind, n in ((SampleKind.LESION, count), (SampleKind.FREE, negatives)) if n}
    )
    assert len({choice.focus for choice in times if choice.kind is SampleKind.LESION}) == count
    assert {(choice.case, choice.slice_index) for choice in times if choice.kind is SampleKind.FREE} <= free


@settings(max_examples=60, deadline=None)
@given(drawn=draws())
def test_an_epoch_is_a_shuffled_list_of_full_batches_of_one_data_set_each(drawn: Draw):
    plan = BatchPlan(drawn.training_set, drawn.recipe, drawn.seed)
    batches = epoch_of(plan, drawn.epoch)
    assert {len(batch) for batch in batches} == {drawn.recipe.batch_size}
    assert all(len({drawn.dataset_of(choice) for choice in batch}) == 1 for batch in batches)


@settings(max_examples=30, deadline=None)
@given(drawn=draws())
def test_an_epoch_is_made_again_from_its_number_and_the_seed_alone(drawn: Draw):
    one, other = (BatchPlan(drawn.training_set, drawn.recipe, drawn.seed) for _ in range(2))
    for epoch in range(drawn.epoch + 1):
        epoch_of(one, epoch)
    assert epoch_of(one, drawn.epoch) == epoch_of(other, drawn.epoch)


def test_slices_beside_a_key_slice_are_no_negatives_as_far_as_the_lesion_may_reach():
    ball = Ball(30, 30, 5, 20)  # 20 pixels of 1.6 mm: half of it is 4 slices of 4 mm
    marked = case_of("universal", key_slice_lesion(ball), volume=VOLUME)
    plan = BatchPlan(set_of(marked, uses_unlabelled=True), SamplingRecipe(batch_size=1, negatives_per_positive=9), 0)
    free = {choice.slice_index for (choice,) in epoch_of(plan) if choice.kind is SampleKind.FREE}
    assert free == {0, 10, 11}


def test_a_slice_with_a_mined_lesion_is_no_negative_but_one_with_an_uncertain_place_is():
    mined = lesion_of(Ball(20, 20, 2, 8), origin=LesionOrigin.MINED)
    uncertain = lesion_of(Ball(40, 40, 8, 8), LesionRole.IGNORE, origin=LesionOrigin.MINED)
    training_set = set_of(case_of("lung", mined, uncertain, volume=VOLUME))
    plan = BatchPlan(training_set, SamplingRecipe(batch_size=1, negatives_per_positive=100), seed=0)
    free = {choice.slice_index for (choice,) in epoch_of(plan) if choice.kind is SampleKind.FREE}
    assert free == {0, *range(4, DEPTH)}


def test_one_slice_is_drawn_of_a_lesion_that_was_followed_through_several():
    parts = [lesion_of(Ball(20, 20, z, 8), group="a") for z in (2, 5, 8)]
    plan = BatchPlan(set_of(case_of("lung", *parts, volume=VOLUME)), SamplingRecipe(batch_size=1), seed=0)
    positives = [
        [choice.slice_index for (choice,) in epoch_of(plan, epoch) if choice.kind is SampleKind.LESION]
        for epoch in range(40)
    ]
    assert all(len(drawn) == 1 for drawn in positives)
    assert {drawn[0] for drawn in positives} == set(range(1, 10)), "some slice of the lesion is never drawn"


def test_of_slices_without_a_label_only_those_are_drawn_that_were_mined():
    marked = case_of("universal", key_slice_lesion(Ball(20, 20, 1, 4)), volume=VOLUME)
    mined = replace(marked, unlabelled_slices=(1, 5, 9))
    plan = BatchPlan(set_of(mined, uses_unlabelled=True), SamplingRecipe(batch_size=1, negatives_per_positive=9), 0)
    free = {choice.slice_index for (choice,) in epoch_of(plan) if choice.kind is SampleKind.FREE}
    assert free == {5, 9}
