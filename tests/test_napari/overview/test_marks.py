"""Which lesions are marked on the projections of a series, and where."""

import pytest

from lens_engine.findings import FUSED, SliceBox
from lens_engine.geometry import VolumeGeometry
from lens_napari.overview.marks import Mark, marks_of
from lens_napari.review.box_table import ANNOTATIONS, CANDIDATES, NO_LESION, BoxRow, BoxState, BoxTable, Shown
from lens_napari.sections.planes import Plane

GROUPS = (FUSED, ANNOTATIONS, CANDIDATES)
GEOMETRY = VolumeGeometry((40, 64, 64), (5.0, 0.5, 0.8))
NUMBERS = {7: 3, 8: 1}
SLOPING = (SliceBox(4, (10, 20, 14, 26)), SliceBox(5, (12, 18, 18, 24)))
ROWS = (
    BoxRow(FUSED, (SliceBox(9, (1, 1, 5, 5)),), 0.4),
    BoxRow(ANNOTATIONS, (SliceBox(2, (1, 2, 3, 4)),), 1.0),
    BoxRow(CANDIDATES, SLOPING, 0.1, lesion=7),
    BoxRow(CANDIDATES, (SliceBox(20, (30, 30, 40, 40)),), 0.9, lesion=8),
)
TABLE = BoxTable.from_rows(GROUPS, ROWS)


def marks(shown: Shown, states: dict[int, BoxState] | None = None, **changed: object) -> tuple[Mark, ...]:
    return marks_of(TABLE, shown, states or {}, dict(changed.get("changed", {})), NUMBERS.get)


def test_every_lesion_shown_is_one_box_with_its_number_and_the_one_asked_about_comes_last() -> None:
    found = marks(Shown(), {7: BoxState.ASKED, 8: BoxState.REJECTED})
    assert [(one.group, one.number, one.state) for one in found] == [
        (FUSED, None, BoxState.PLAIN),
        (ANNOTATIONS, None, BoxState.PLAIN),
        (CANDIDATES, 1, BoxState.REJECTED),
        (CANDIDATES, 3, BoxState.ASKED),
    ]
    assert found[-1].box == (10, 18, 4, 18, 26, 6)
    assert [one.lesion for one in found] == [NO_LESION, NO_LESION, 8, 7]


@pytest.mark.parametrize(
    ("shown", "count"),
    [
        (Shown(thresholds={FUSED: 0.5}), 3),
        (Shown(hidden=frozenset({FUSED, ANNOTATIONS})), 2),
        (Shown(everything_hidden=True), 0),
        (Shown(alone=FUSED), 2),
    ],
)
def test_what_is_not_shown_is_not_marked(shown: Shown, count: int) -> None:
    assert len(marks(shown, {7: BoxState.ASKED})) == count


def test_a_changed_lesion_is_marked_as_it_is_now_and_a_drawn_one_too() -> None:
    changed = {7: (SliceBox(6, (0, 0, 2, 2)),), -4: (SliceBox(30, (5, 5, 9, 9)),)}
    found = {one.lesion: one for one in marks(Shown(hidden=frozenset({FUSED, ANNOTATIONS})), changed=changed)}
    assert found[7].box == (0, 0, 6, 2, 2, 7)
    assert found[-4].number is None
    assert set(found) == {7, 8, -4}


def test_corners_are_millimetres_on_each_projection() -> None:
    asked = marks(Shown(), {7: BoxState.ASKED})[-1]
    assert asked.corners(Plane.CORONAL, GEOMETRY) == ((20.0, 8.0), (30.0, pytest.approx(14.4)))
    assert asked.corners(Plane.SAGITTAL, GEOMETRY) == ((20.0, 9.0), (30.0, 13.0))
    assert asked.middle(Plane.SAGITTAL, GEOMETRY) == (25.0, 11.0)


def test_a_series_without_boxes_has_no_marks() -> None:
    assert marks_of(BoxTable.from_rows(GROUPS, ()), Shown(), {}, {}, NUMBERS.get) == ()
