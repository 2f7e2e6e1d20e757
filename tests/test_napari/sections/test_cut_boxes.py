import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.findings import FUSED, SliceBox
from lens_engine.geometry import VolumeGeometry
from lens_napari.review.box_table import ANNOTATIONS, CANDIDATES, BoxRow, BoxTable, Shown
from lens_napari.sections.cut_boxes import CutBox, cut_boxes
from lens_napari.sections.planes import Plane

GROUPS = (FUSED, ANNOTATIONS, CANDIDATES)
GEOMETRY = VolumeGeometry((20, 40, 40), (5.0, 0.5, 2.0))
ASKED = 7
LESION = tuple(SliceBox(z, (10.0, 20.0, 14.0, 26.0)) for z in (3, 4, 5))
sections = st.sampled_from([Plane.CORONAL, Plane.SAGITTAL])


def table(*rows: BoxRow) -> BoxTable:
    return BoxTable.from_rows(GROUPS, rows)


def cut(boxes: BoxTable, plane: Plane, section: int, shown: Shown | None = None) -> tuple[CutBox, ...]:
    return cut_boxes(boxes, shown or Shown(), ASKED, plane, section, GEOMETRY)


def test_the_lesion_asked_about_is_one_rectangle_in_millimetres() -> None:
    boxes = table(BoxRow(CANDIDATES, LESION, 0.5, ASKED))
    assert cut(boxes, Plane.CORONAL, 22) == (CutBox(CANDIDATES, (15.0, 20.0), (30.0, 28.0)),)
    assert cut(boxes, Plane.SAGITTAL, 13) == (CutBox(CANDIDATES, (15.0, 10.0), (30.0, 13.0)),)


@pytest.mark.parametrize(("plane", "sections"), [(Plane.CORONAL, (19, 26)), (Plane.SAGITTAL, (9, 14))])
def test_a_section_beside_a_box_does_not_cut_it(plane: Plane, sections: tuple[int, int]) -> None:
    boxes = table(BoxRow(CANDIDATES, LESION, 0.5, ASKED))
    assert [cut(boxes, plane, section) for section in sections] == [(), ()]


def test_only_annotations_and_the_lesion_asked_about_are_drawn() -> None:
    rows = [BoxRow(FUSED, LESION, 0.5), BoxRow(ANNOTATIONS, LESION, 1.0), BoxRow(CANDIDATES, LESION, 0.5, ASKED + 1)]
    boxes = table(*rows, BoxRow(CANDIDATES, LESION, 0.5, ASKED))
    assert [box.group for box in cut(boxes, Plane.CORONAL, 22)] == [ANNOTATIONS, CANDIDATES]
    nobody_asked = cut_boxes(boxes, Shown(), None, Plane.CORONAL, 22, GEOMETRY)
    assert [box.group for box in nobody_asked] == [ANNOTATIONS]


def test_what_the_reader_hides_is_hidden_here_too() -> None:
    boxes = table(BoxRow(ANNOTATIONS, LESION, 1.0), BoxRow(CANDIDATES, LESION, 0.5, ASKED))
    assert cut(boxes, Plane.CORONAL, 22, Shown(everything_hidden=True)) == ()
    without = cut(boxes, Plane.CORONAL, 22, Shown(hidden=frozenset({ANNOTATIONS})))
    assert [box.group for box in without] == [CANDIDATES]


def test_annotations_apart_are_rectangles_of_their_own() -> None:
    beside = tuple(SliceBox(z, (30.0, 20.0, 34.0, 26.0)) for z in (4, 5))
    below = tuple(SliceBox(z, (10.0, 20.0, 14.0, 26.0)) for z in (9, 10))
    boxes = table(*(BoxRow(ANNOTATIONS, slices, 1.0) for slices in (LESION, beside, below)))
    corners = {(box.corner, box.opposite) for box in cut(boxes, Plane.CORONAL, 22)}
    assert corners == {
        ((15.0, 20.0), (30.0, 28.0)),
        ((20.0, 60.0), (30.0, 68.0)),
        ((45.0, 20.0), (55.0, 28.0)),
    }


edges = st.tuples(*[st.floats(0, 39, width=32).filter(lambda edge: edge == 0 or edge > 1e-6)] * 4).map(
    lambda four: (min(four[0], four[2]), min(four[1], four[3]), max(four[0], four[2]), max(four[1], four[3]))
)
rows = st.lists(st.tuples(st.integers(0, 19), edges), max_size=12)


@given(rows, sections, st.integers(0, 39))
def test_every_cross_section_that_is_cut_lies_in_a_rectangle_and_no_rectangle_is_larger_than_what_is_cut(
    boxes: list[tuple[int, tuple[float, float, float, float]]], plane: Plane, section: int
) -> None:
    drawn = cut(table(*(BoxRow(ANNOTATIONS, (SliceBox(z, box),), 1.0) for z, box in boxes)), plane, section)
    row_mm, column_mm = plane.pixel_mm(GEOMETRY)
    across, along = (1, 0) if plane is Plane.CORONAL else (0, 1)
    cut_rows = [
        ((z * row_mm, box[along] * column_mm), ((z + 1) * row_mm, box[along + 2] * column_mm))
        for z, box in boxes
        if box[across] < section + 1 and box[across + 2] > section
    ]
    for corner, opposite in cut_rows:
        assert any(
            all(one.corner[i] <= corner[i] + 1e-3 and opposite[i] <= one.opposite[i] + 1e-3 for i in range(2))
            for one in drawn
        )
    for one in drawn:
        assert any(abs(one.corner[0] - corner[0]) < 1e-6 for corner, _ in cut_rows)
        assert any(abs(one.opposite[0] - opposite[0]) < 1e-6 for _, opposite in cut_rows)
