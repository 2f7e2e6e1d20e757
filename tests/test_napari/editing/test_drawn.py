"""Drawn lesions without a screen: what is said of them, taken back, and refused by the disk."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from lens_engine.findings import SliceBox, Verdict
from lens_engine.store.decisions import DecisionRecord
from lens_napari.editing.drawn import DrawnLesions, DrawnWrite
from lens_napari.review.acts import SaveState

SERIES = 3
SLICES = (SliceBox(4, (1.0, 2.0, 5.0, 6.0)), SliceBox(5, (1.0, 2.0, 5.0, 6.0)))
SMALLER = (SliceBox(4, (2.0, 3.0, 4.0, 5.0)),)


def lesions() -> DrawnLesions:
    return DrawnLesions("reader", lambda: datetime(2026, 3, 1, tzinfo=UTC), count(1))


def added(drawn: DrawnLesions) -> int:
    drawn.mark_saved(drawn.add(SERIES, SLICES, None).ticket)
    (lesion,) = drawn.of_series(SERIES)
    return lesion.number


def shown(drawn: DrawnLesions) -> list[tuple[object, ...]]:
    return [(one.number, one.decision.slices, one.decision.lesion_type) for one in drawn.of_series(SERIES)]


def test_a_drawn_lesion_is_pending_until_it_is_on_disk() -> None:
    drawn = lesions()
    write = drawn.add(SERIES, SLICES, "node")
    (lesion,) = drawn.of_series(SERIES)
    assert (write.was_there, write.said.verdict, write.said.candidate_id) == (False, Verdict.ADDED, None)
    assert (lesion.save_state, drawn.is_pending(SERIES)) == (SaveState.PENDING, True)
    drawn.mark_saved(write.ticket)
    (lesion,) = drawn.of_series(SERIES)
    assert (lesion.save_state, lesion.decision.lesion_type) == (SaveState.SAVED, "node")


def test_deleting_is_a_withdrawal_of_the_lesion_as_it_was() -> None:
    drawn = lesions()
    write = drawn.delete(added(drawn))
    assert (write.was_there, write.said.verdict, write.said.slices) == (True, Verdict.WITHDRAWN, SLICES)
    assert drawn.of_series(SERIES) == ()


@given(st.lists(st.sampled_from(["add", "box", "type", "delete"]), max_size=8))
def test_undo_inverts_every_change_and_redo_makes_it_again(acts: list[str]) -> None:
    drawn, courses = lesions(), []
    courses.append(shown(drawn))
    for act in acts:
        there = drawn.of_series(SERIES)
        if act == "add" or not there:
            drawn.add(SERIES, SLICES, None)
        elif act == "box":
            drawn.change(there[0].number, SMALLER, None)
        elif act == "type":
            drawn.change(there[0].number, there[0].decision.slices, "node")
        else:
            drawn.delete(there[0].number)
        courses.append(shown(drawn))
    for before in reversed(courses[:-1]):
        assert drawn.undo() is not None
        assert shown(drawn) == before
    assert drawn.undo() is None
    for after in courses[1:]:
        assert drawn.redo() is not None
        assert shown(drawn) == after
    assert drawn.redo() is None


def test_a_type_stays_with_another_box() -> None:
    drawn = lesions()
    number = added(drawn)
    drawn.change(number, SLICES, "node")
    assert drawn.change(number, SMALLER, None).said.lesion_type == "node"


def test_a_refused_write_leaves_what_is_on_disk() -> None:
    drawn = lesions()
    number = added(drawn)
    first, second = drawn.change(number, SMALLER, None), drawn.change(number, SMALLER, "node")
    for write in (first, second):
        drawn.mark_failed(write.ticket)
    assert shown(drawn) == [(number, SLICES, None)]
    assert drawn.undo() is None


def test_a_lesion_that_was_not_saved_is_not_there() -> None:
    drawn = lesions()
    drawn.mark_failed(drawn.add(SERIES, SLICES, None).ticket)
    assert drawn.of_series(SERIES) == ()


def test_lesions_that_are_read_again_keep_their_numbers() -> None:
    drawn = lesions()
    number = added(drawn)
    (lesion,) = drawn.of_series(SERIES)
    lesion.row.id = 7
    by_another = replace(lesion.decision, slices=SMALLER, box=(2.0, 3.0, 4.0, 4.0, 5.0, 5.0))
    drawn.show(SERIES, [DecisionRecord(7, lesion.decision), DecisionRecord(8, by_another)])
    assert [one.row.id for one in drawn.of_series(SERIES)] == [7, 8]
    assert drawn.of_series(SERIES)[0].number == number


def test_a_write_names_the_row_of_its_lesion() -> None:
    drawn = lesions()
    writes: list[DrawnWrite] = [drawn.add(SERIES, SLICES, None)]
    (lesion,) = drawn.of_series(SERIES)
    writes.append(drawn.delete(lesion.number))
    assert writes[0].row is writes[1].row


def test_a_lesion_without_cross_sections_has_the_box_on_every_slice() -> None:
    drawn = lesions()
    said = replace(drawn.add(SERIES, SLICES, None).said, series_id=SERIES + 1, slices=())
    drawn.show(SERIES + 1, [DecisionRecord(9, said)])
    assert [one.decision.slices for one in drawn.of_series(SERIES + 1)] == [SLICES]
