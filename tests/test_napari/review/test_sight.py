from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.findings import Box2D, SliceBox
from lens_napari.review.sight import Picture, Unseen, why_unseen

LESION = [SliceBox(index, (40.0, 40.0, 50.0, 50.0)) for index in (7, 8, 9)]
WHOLE = Picture(slice_index=8, field=(0.0, 0.0, 96.0, 96.0), pixels_per_voxel=4.0, is_covered=False, shows_boxes=True)


@pytest.mark.parametrize("slice_index", [7, 8, 9])
def test_a_lesion_is_seen_on_each_of_its_slices(slice_index: int) -> None:
    assert why_unseen(LESION, replace(WHOLE, slice_index=slice_index)) is None


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (replace(WHOLE, is_covered=True), Unseen.COVERED),
        (replace(WHOLE, shows_boxes=False), Unseen.HIDDEN),
        (replace(WHOLE, slice_index=12), Unseen.ON_ANOTHER_SLICE),
        (replace(WHOLE, slice_index=12, shows_boxes=False), Unseen.ON_ANOTHER_SLICE),
        (replace(WHOLE, field=(60.0, 0.0, 96.0, 96.0)), Unseen.OUTSIDE),
        (replace(WHOLE, field=(46.0, 0.0, 96.0, 96.0)), Unseen.OUTSIDE),
        (replace(WHOLE, field=(44.0, 0.0, 96.0, 96.0)), None),
        (replace(WHOLE, field=(43.0, 43.0, 46.0, 46.0)), None),
        (replace(WHOLE, pixels_per_voxel=0.1), Unseen.TOO_SMALL),
    ],
)
def test_why_a_lesion_is_not_seen(picture: Picture, expected: Unseen | None) -> None:
    assert why_unseen(LESION, picture) is expected


edges = st.tuples(st.floats(-50, 100), st.floats(0.5, 80))


@st.composite
def fields(draw: st.DrawFn) -> Box2D:
    (x, width), (y, height) = draw(edges), draw(edges)
    return x, y, x + width, y + height


@given(field=fields())
def test_what_is_seen_has_something_inside_the_picture(field: Box2D) -> None:
    box = LESION[0].box
    if why_unseen(LESION, replace(WHOLE, field=field)) is None:
        assert field[0] < box[2]
        assert box[0] < field[2]
        assert field[1] < box[3]
        assert box[1] < field[3]
