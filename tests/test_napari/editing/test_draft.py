from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from lens_engine.findings import SliceBox
from lens_napari.editing.draft import NEW_LESION, Draft, Purpose

SHAPE = (20, 60, 90)
BOX = (10.0, 10.0, 30.0, 20.0)
Change = Callable[[Draft], Draft]
ends = st.tuples(st.integers(-2, 2), st.integers(-2, 2)).map(lambda by: lambda draft: draft.moved_ends(*by))
boxes = st.integers(0, 19).map(
    lambda index: (
        lambda draft: draft.with_box(index, (1.0 + index, 2.0, 9.0 + index, 8.0)) if draft.section(index) else draft
    )
)
changes = st.lists(st.one_of(ends, boxes), max_size=12)


def adjusting(first: int = 8, last: int = 11) -> Draft:
    slices = tuple(SliceBox(index, BOX, 0.6) for index in range(first, last + 1))
    return Draft.of(Purpose.ADJUST, 1, 5, SHAPE, slices)


@given(changes)
def test_taking_back_every_change_gives_the_first_box_and_saying_them_again_the_last(steps: list[Change]) -> None:
    draft = adjusting()
    for step in steps:
        draft = step(draft)
    last, count = draft.slices, len(draft.earlier)
    for _ in range(count):
        draft = draft.undone()
    assert draft.slices == adjusting().slices
    assert not draft.is_changed
    for _ in range(count):
        draft = draft.redone()
    assert draft.slices == last
    assert draft.redone() == draft


@given(changes)
def test_a_box_always_has_a_slice_and_no_gap(steps: list[Change]) -> None:
    draft = adjusting()
    for step in steps:
        draft = step(draft)
        indices = [one.slice_index for one in draft.slices]
        assert indices
        assert indices == list(range(indices[0], indices[-1] + 1))
        assert 0 <= indices[0] <= indices[-1] < SHAPE[0]


def test_an_end_stops_at_the_other_one() -> None:
    draft = adjusting(8, 9).moved_ends(5, 0)
    assert draft.extent == (9, 9)
    assert adjusting(8, 9).moved_ends(0, -5).extent == (8, 8)


def test_nothing_is_extended_before_a_box_is_drawn() -> None:
    draft = Draft.of(Purpose.DRAW, 1, NEW_LESION, SHAPE, ())
    assert draft.moved_ends(-1, 1) == draft
    assert draft.extent is None
    assert draft.with_box(3, BOX).moved_ends(-1, 1).extent == (2, 4)
