"""A queue is asked in passes, and series by series within each."""

from itertools import groupby, pairwise

from hypothesis import given
from hypothesis import strategies as st

from lens_engine.store.queue.order import MOST_PASSES, PASS_LESIONS, order_of_asking

lesions = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 10), st.booleans()), max_size=90)
Lesions = list[tuple[int, int, bool]]


def order(queue: Lesions) -> list[int]:
    columns = [row[0] for row in queue], [row[1] / 10 for row in queue], [row[2] for row in queue]
    return order_of_asking(*columns).tolist()


def one_by_one(queue: Lesions) -> list[int]:
    """Return the order as its words say it, without arrays."""
    ranked = sorted(range(len(queue)), key=lambda row: -queue[row][1])
    passes = min(max(len(ranked) // PASS_LESIONS, 1), MOST_PASSES)
    bounds = [round(len(ranked) * number / passes) for number in range(passes + 1)]
    order: list[int] = []
    for first, last in pairwise(bounds):
        groups: dict[int, list[int]] = {}
        for row in ranked[first:last]:
            groups.setdefault(queue[row][0], []).append(row)
        best = {
            series: max((queue[row][1] for row in rows if queue[row][2]), default=-1.0)
            for series, rows in groups.items()
        }
        for series in sorted(groups, key=lambda series: (-best[series], series)):
            order += groups[series]
    return order


@given(lesions)
def test_the_order_is_that_of_its_description(queue: Lesions) -> None:
    assert order(queue) == one_by_one(queue)


@given(lesions)
def test_every_lesion_is_asked_about_once(queue: Lesions) -> None:
    assert sorted(order(queue)) == list(range(len(queue)))


@given(lesions)
def test_no_volume_is_loaded_more_often_than_there_are_passes(queue: Lesions) -> None:
    visits = [series for series, _ in groupby(queue[row][0] for row in order(queue))]
    assert all(visits.count(series) <= MOST_PASSES for series in visits)
    if len(queue) < 2 * PASS_LESIONS:
        assert len(visits) == len(set(visits))


@given(lesions)
def test_the_best_third_of_a_long_queue_is_asked_first(queue: Lesions) -> None:
    if len(queue) >= MOST_PASSES * PASS_LESIONS:
        third = round(len(queue) / MOST_PASSES)
        asked = [queue[row][1] for row in order(queue)]
        assert min(asked[:third]) >= max(asked[third:])


@given(lesions)
def test_what_is_decided_changes_no_pass(queue: Lesions) -> None:
    third = round(len(queue) / MOST_PASSES) if len(queue) >= MOST_PASSES * PASS_LESIONS else len(queue)
    undecided = [(series, value, True) for series, value, _ in queue]
    assert set(order(queue)[:third]) == set(order(undecided)[:third])


def test_a_series_stays_together_with_its_best_lesion_first() -> None:
    queue = [(1, 2, True), (2, 3, True), (1, 6, True), (2, 9, True)]
    assert order(queue) == [3, 1, 2, 0]


def test_a_series_whose_best_lesion_is_decided_waits_for_its_next_best() -> None:
    queue = [(1, 9, False), (1, 2, True), (2, 5, True)]
    assert order(queue) == [2, 0, 1]
