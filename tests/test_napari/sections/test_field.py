import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_napari.sections.field import Field

places = st.tuples(st.floats(-800, 800), st.floats(-800, 800))
sizes = st.tuples(st.integers(1, 2000), st.integers(1, 2000))
fields = st.builds(Field.around, places, st.floats(5, 900), sizes)


@given(fields, places)
def test_a_place_comes_back_from_its_point_in_the_picture(field: Field, place: tuple[float, float]) -> None:
    assert field.to_mm(*field.to_pixels(place)) == pytest.approx(place, abs=1e-6)


@given(fields, places, places)
def test_the_scale_is_the_same_in_both_directions(
    field: Field, one: tuple[float, float], other: tuple[float, float]
) -> None:
    for i in range(2):
        pixels = field.to_pixels(one)[i] - field.to_pixels(other)[i]
        assert pixels == pytest.approx((one[i] - other[i]) * field.pixels_per_mm, abs=1e-6)


@given(st.tuples(st.floats(1, 900), st.floats(1, 900)), sizes)
def test_a_whole_section_fits_and_fills_one_direction(section: tuple[float, float], size: tuple[int, int]) -> None:
    field = Field.whole(section, size)
    corner, opposite = field.to_pixels((0.0, 0.0)), field.to_pixels(section)
    filled = [(opposite[i] - corner[i]) / size[i] for i in range(2)]
    assert max(filled) == pytest.approx(1.0)
    assert min(corner) >= -1e-6


@given(fields, places)
def test_a_place_is_brought_into_the_picture_and_one_that_is_seen_moves_nothing(
    field: Field, place: tuple[float, float]
) -> None:
    moved = field.with_place(place)
    assert moved.pixels_per_mm == field.pixels_per_mm
    for at, pixels in zip(moved.to_pixels(place), field.size_pixels, strict=True):
        assert -1e-6 <= at <= pixels + 1e-6
    assert moved.with_place(place) == moved


@given(places, st.floats(5, 900), sizes)
def test_the_length_that_is_asked_for_is_seen(
    middle: tuple[float, float], seen_mm: float, size: tuple[int, int]
) -> None:
    assert Field.around(middle, seen_mm, size).seen_mm == pytest.approx(seen_mm)
