"""Which lengths are axes of a lesion, and how they are told."""

import pytest

from lens_engine.findings import RecistAxes, SliceBox
from lens_napari.editing.axes import lies_on, rulers_of, with_length
from lens_napari.editing.ruler import Ruler
from lens_napari.review.saying.axes_wording import angle_degrees, angle_words, card_words, drawn_words, in_words

SPACING = (2.0, 1.0)
SLICES = (SliceBox(3, (10.0, 10.0, 30.0, 20.0)),)
LONG = Ruler(3, (20.0, 10.0), (20.0, 33.0))
SHORT = Ruler(3, (15.0, 20.0), (29.0, 20.0))


def test_the_longer_of_two_lengths_is_the_long_axis_whichever_was_drawn_first() -> None:
    both = with_length(with_length(None, LONG, SPACING), SHORT, SPACING)
    assert in_words(both, SPACING) == "23 × 14 mm"
    assert with_length(with_length(None, SHORT, SPACING), LONG, SPACING) == both
    assert rulers_of(both, SPACING) == (LONG, SHORT)


def test_axes_are_voxel_edges() -> None:
    assert with_length(None, LONG, SPACING) == RecistAxes(3, (10.5, 10.5, 33.5, 10.5))


@pytest.mark.parametrize("slice_index", [3, 4])
def test_a_third_length_and_one_on_another_slice_begin_anew(slice_index: int) -> None:
    first = with_length(None, LONG, SPACING)
    known = with_length(first, SHORT, SPACING) if slice_index == 3 else first
    anew = Ruler(slice_index, (15.0, 20.0), (29.0, 20.0))
    assert with_length(known, anew, SPACING) == with_length(None, anew, SPACING)


@pytest.mark.parametrize(
    ("ruler", "is_on"),
    [(LONG, True), (Ruler(4, LONG.start_mm, LONG.end_mm), False), (Ruler(3, (60.0, 10.0), (60.0, 30.0)), False)],
)
def test_a_length_is_one_of_a_lesion_where_its_middle_lies_in_the_cross_section(ruler: Ruler, is_on: bool) -> None:
    assert lies_on(ruler, SLICES, SPACING) is is_on


@pytest.mark.parametrize(("end_mm", "angle"), [((29.0, 20.0), 90.0), ((29.0, 22.0), 81.9), ((29.0, 34.0), 45.0)])
def test_an_angle_is_told_where_it_is_not_roughly_right(end_mm: tuple[float, float], angle: float) -> None:
    axes = with_length(with_length(None, LONG, SPACING), Ruler(3, (15.0, 20.0), end_mm), SPACING)
    assert angle_degrees(axes, SPACING) == pytest.approx(angle, abs=0.1)
    assert ("45°" in angle_words(axes, SPACING)) == (angle == 45.0)
    assert bool(angle_words(axes, SPACING)) == (angle == 45.0)


def test_the_card_says_who_drew_the_axes() -> None:
    long = with_length(None, LONG, SPACING)
    both = with_length(long, SHORT, SPACING)
    assert card_words(both, SPACING, "Reader B") == "axes 23 × 14 mm, drawn by Reader B (slice 4)"
    assert card_words(long, SPACING, "") == "axes 23 mm, not said yet (slice 4)"
    assert "becomes the short axis" in drawn_words(long, SPACING, is_said=False)
    assert drawn_words(both, SPACING, is_said=True) == "Axes 23 × 14 mm: added to what was said of the lesion."
