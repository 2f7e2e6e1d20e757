import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.findings import SliceBox
from lens_napari.review.box_table import ANNOTATIONS, CANDIDATES, BoxRow, BoxState, BoxTable, Shown, resolve

GROUPS = ("universal", CANDIDATES)
EVERYTHING = Shown()


def lesion(group: str, first: int, last: int, score: float = 0.9, number: int = -1) -> BoxRow:
    return BoxRow(group, tuple(SliceBox(z, (1.0, 2.0, 3.0, 4.0)) for z in range(first, last)), score, number)


def drawn(table: BoxTable, slice_index: int, shown: Shown = EVERYTHING) -> int:
    return sum(len(boxes) for boxes in resolve(table, shown, slice_index, {}).values())


@given(extents=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), max_size=20), slice_index=st.integers(-1, 30))
def test_a_slice_shows_exactly_the_lesions_that_cover_it(extents: list[tuple[int, int]], slice_index: int) -> None:
    table = BoxTable.from_rows(GROUPS, [lesion("universal", first, first + count) for first, count in extents])
    expected = sum(first <= slice_index < first + count for first, count in extents)
    assert drawn(table, slice_index) == expected


def test_rows_are_sorted_by_slice() -> None:
    table = BoxTable.from_rows(GROUPS, [lesion("universal", 7, 9), lesion(CANDIDATES, 2, 5)])
    assert (np.diff(table.slice_index) >= 0).all()
    assert len(table.slice_index) == 5


def test_a_threshold_hides_weak_boxes_of_its_group_only() -> None:
    table = BoxTable.from_rows(GROUPS, [lesion("universal", 0, 1, score=0.2), lesion(CANDIDATES, 0, 1, score=0.2)])
    shown = resolve(table, Shown(thresholds={"universal": 0.3}), 0, {})
    assert [len(shown[group]) for group in GROUPS] == [0, 1]


def test_a_hidden_group_is_not_drawn() -> None:
    table = BoxTable.from_rows(GROUPS, [lesion("universal", 0, 1), lesion(CANDIDATES, 0, 1)])
    assert drawn(table, 0, Shown(hidden=frozenset({"universal"}))) == 1
    assert drawn(table, 0, Shown(everything_hidden=True)) == 0


def test_the_lesion_asked_about_is_drawn_on_top() -> None:
    table = BoxTable.from_rows(GROUPS, [lesion(CANDIDATES, 0, 1, number=1), lesion(CANDIDATES, 0, 1, number=2)])
    boxes = resolve(table, Shown(), 0, {1: BoxState.ASKED, 2: BoxState.REJECTED})[CANDIDATES]
    assert [box.state for box in boxes] == [BoxState.REJECTED, BoxState.ASKED]


def test_a_series_without_boxes_has_an_empty_table() -> None:
    assert drawn(BoxTable.from_rows(GROUPS, []), 3) == 0


def test_all_but_the_lesion_asked_about_and_the_annotations_stand_back() -> None:
    rows = [
        lesion(ANNOTATIONS, 0, 1),
        lesion("universal", 0, 1),
        lesion(CANDIDATES, 0, 1, number=1),
        lesion(CANDIDATES, 0, 1, number=2),
    ]
    table = BoxTable.from_rows((ANNOTATIONS, *GROUPS), rows)
    states = {2: BoxState.ASKED}
    dimmed = {
        (box.group, box.lesion): box.is_dimmed for boxes in resolve(table, Shown(), 0, states).values() for box in boxes
    }
    assert dimmed == {(ANNOTATIONS, -1): False, ("universal", -1): True, (CANDIDATES, 1): True, (CANDIDATES, 2): False}
    bright = resolve(table, Shown(rest_is_dimmed=False), 0, states)
    assert not any(box.is_dimmed for boxes in bright.values() for box in boxes)


def test_a_changed_lesion_is_drawn_as_it_is_now_and_a_drawn_one_without_any_row() -> None:
    table = BoxTable.from_rows((CANDIDATES,), [BoxRow(CANDIDATES, [SliceBox(0, (0, 0, 4, 4))], 0.9, lesion=1)])
    changed = {1: [SliceBox(1, (1, 1, 5, 5))], -3: [SliceBox(0, (6, 6, 8, 8))]}
    states = {-3: BoxState.ACCEPTED}
    first, second = (resolve(table, Shown(), index, states, changed)[CANDIDATES] for index in (0, 1))
    assert [(one.lesion, one.box, one.state) for one in first] == [(-3, (6, 6, 8, 8), BoxState.ACCEPTED)]
    assert [(one.lesion, one.box) for one in second] == [(1, (1, 1, 5, 5))]
    for hidden in (Shown(everything_hidden=True), Shown(hidden=frozenset({CANDIDATES}))):
        assert resolve(table, hidden, 0, states, changed)[CANDIDATES] == ()


def test_a_group_alone_is_bright_and_leaves_only_the_lesion_asked_about_beside_it() -> None:
    groups = ("universal", "lung", ANNOTATIONS, CANDIDATES)
    rows = [lesion(group, 0, 1) for group in ("universal", "lung", ANNOTATIONS)]
    rows += [lesion(CANDIDATES, 0, 1, number=number) for number in (1, 2)]
    table, asked = BoxTable.from_rows(groups, rows), {1: BoxState.ASKED}
    shown = Shown(hidden=frozenset({"lung"}), alone="lung")
    boxes = resolve(table, shown, 0, asked)
    assert [len(boxes[group]) for group in groups] == [0, 1, 0, 1]
    assert boxes[CANDIDATES][0].lesion == 1
    assert not boxes["lung"][0].is_dimmed
    changed = {2: (SliceBox(0, (1.0, 2.0, 3.0, 4.0)),)}
    assert [one.lesion for one in resolve(table, shown, 0, asked, changed)[CANDIDATES]] == [1]
