import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lens_engine.findings import Box2D, SliceBox
from lens_napari.editing.geometry import (
    LEAST_SIDE,
    Handle,
    Point,
    Size,
    dragged,
    fitted,
    handle_at,
    handle_points,
    is_inside,
    is_too_small,
    spanned,
    with_extent,
    with_section,
)

SIZE: Size = (60, 90)
TOLERANCE = 1e-6
numbers = st.floats(-200.0, 200.0)
points = st.tuples(numbers, numbers)
edges = st.lists(st.integers(0, 60), min_size=2, max_size=2, unique=True).map(sorted)
boxes = st.tuples(edges, edges).map(lambda pair: (float(pair[0][0]), pair[1][0], pair[0][1], pair[1][1]))
wild_boxes = st.tuples(points, points).map(lambda pair: (*pair[0], *pair[1]))
handles = st.sampled_from(Handle)
extents = st.tuples(st.integers(-5, 25), st.integers(-5, 25))


def is_in_the_slice(box: Box2D) -> bool:
    x1, y1, x2, y2 = box
    return min(x1, y1) >= 0 and x2 <= SIZE[1] + TOLERANCE and y2 <= SIZE[0] + TOLERANCE


def lesion(first: int = 4, last: int = 9) -> tuple[SliceBox, ...]:
    return tuple(SliceBox(i, (10.0 + i, 10.0, 30.0 + i, 20.0), 0.7) for i in range(first, last + 1))


@given(wild_boxes, handles, points)
def test_a_dragged_box_lies_in_the_slice_and_has_a_voxel_at_least(box: Box2D, handle: Handle, by: Point) -> None:
    after = dragged(box, handle, by, SIZE)
    assert is_in_the_slice(after)
    assert min(after[2] - after[0], after[3] - after[1]) >= LEAST_SIDE - TOLERANCE


@given(boxes, points)
def test_moving_a_box_keeps_its_size(box: Box2D, by: Point) -> None:
    after = dragged(box, Handle.INSIDE, by, SIZE)
    assert after[2] - after[0] == pytest.approx(box[2] - box[0])
    assert after[3] - after[1] == pytest.approx(box[3] - box[1])


@given(boxes, handles.filter(lambda one: one is not Handle.INSIDE), points)
def test_a_handle_moves_its_own_edges_alone(box: Box2D, handle: Handle, by: Point) -> None:
    after = dragged(box, handle, by, SIZE)
    along_x, along_y = handle.value
    moving = {0: along_x < 0, 1: along_y < 0, 2: along_x > 0, 3: along_y > 0}
    assert all(after[edge] == box[edge] for edge, moves in moving.items() if not moves)


@given(boxes, handles, st.tuples(st.floats(-3, 3), st.floats(-3, 3)))
def test_dragging_back_gives_the_box_back(box: Box2D, handle: Handle, by: Point) -> None:
    free = (10.0, 10.0, 40.0, 50.0)
    after = dragged(dragged(free, handle, by, SIZE), handle, (-by[0], -by[1]), SIZE)
    assert after == pytest.approx(free)


@given(boxes)
def test_each_handle_is_taken_at_its_point_and_the_middle_moves_the_box(box: Box2D) -> None:
    corners_and_edges = [one for one in Handle if one is not Handle.INSIDE]
    found = [handle_at(box, point, (3.0, 3.0)) for point in handle_points(box)]
    assert found == corners_and_edges
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    assert handle_at(box, middle, (100.0, 100.0)) is Handle.INSIDE
    assert handle_at(box, (box[2] + 3.5, box[3]), (3.0, 3.0)) is None


@given(wild_boxes)
def test_fitting_a_box_twice_changes_nothing_more(box: Box2D) -> None:
    once = fitted(box, SIZE)
    assert is_in_the_slice(once)
    assert fitted(once, SIZE) == once


@given(points, points)
def test_a_drawn_box_is_the_same_from_either_corner_and_stays_in_the_slice(start: Point, end: Point) -> None:
    box = spanned(start, end, SIZE)
    assert box == spanned(end, start, SIZE)
    assert is_in_the_slice(box)
    if is_inside(start, SIZE):
        assert box[0] <= start[0] <= box[2]
        assert box[1] <= start[1] <= box[3]


@pytest.mark.parametrize(("end", "expected"), [((5.9, 30.0), True), ((30.0, 5.9), True), ((6.0, 6.0), False)])
def test_a_box_below_a_voxel_is_too_small(end: Point, expected: bool) -> None:
    assert is_too_small(spanned((5.0, 5.0), end, SIZE)) is expected


@given(extents, st.integers(10, 20))
def test_an_extent_has_a_slice_at_least_and_none_outside_the_scan(extent: tuple[int, int], depth: int) -> None:
    found = [one.slice_index for one in with_extent(lesion(), *extent, depth)]
    assert found
    assert found == list(range(found[0], found[-1] + 1))
    assert 0 <= found[0] <= found[-1] < depth


@given(extents)
def test_slices_that_stay_keep_their_cross_sections_and_new_ones_take_the_nearest(extent: tuple[int, int]) -> None:
    before = {one.slice_index: one for one in lesion()}
    for one in with_extent(lesion(), *extent, 30):
        nearest = before[min(max(one.slice_index, 4), 9)]
        assert one.box == nearest.box
        assert one.slice_index not in before or one == nearest


@given(boxes, st.integers(0, 12))
def test_another_cross_section_leaves_the_other_slices(box: Box2D, slice_index: int) -> None:
    assume(3 <= slice_index <= 10)
    after = with_section(lesion(), slice_index, box)
    assert [one for one in after if one.slice_index != slice_index] == [
        one for one in lesion() if one.slice_index != slice_index
    ]
    assert SliceBox(slice_index, box) in after
    assert [one.slice_index for one in after] == sorted(one.slice_index for one in after)
