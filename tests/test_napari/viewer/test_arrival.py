"""A lesion comes on screen large enough to judge, until the reader has chosen a zoom."""

from collections.abc import Callable

import pytest
from qtpy.QtCore import Qt

from lens_engine.findings import middle_section
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready
from lens_napari.viewer.arrival import FIELD_OF_LESION, LEAST_FIELD_MM

PATIENCE_SECONDS = 60.0
Press = Callable[..., None]


def zoom_of(review: ReviewController) -> float:
    assert wait_ready(review, PATIENCE_SECONDS)
    return float(review.viewer.scene.camera.zoom)


def test_a_small_lesion_takes_its_part_of_the_picture_and_lies_in_the_middle(review: ReviewController) -> None:
    zoom = zoom_of(review)
    assert review.current is not None
    assert review.view.loaded is not None
    _, sy, sx = review.view.loaded.volume.geometry.spacing_mm
    x1, y1, x2, y2 = middle_section(review.current.candidate.finding.slices).box
    lesion_mm = max((y2 - y1) * sy, (x2 - x1) * sx)
    field_mm = max(LEAST_FIELD_MM, FIELD_OF_LESION * lesion_mm)
    assert zoom == pytest.approx(min(review.viewer.canvas.size) / field_mm)
    middle = ((y1 + y2 - 1) / 2 * sy, (x1 + x2 - 1) / 2 * sx)
    assert tuple(review.viewer.scene.camera.center[-2:]) == pytest.approx(middle)


def test_a_zoom_that_the_reader_chose_stays_until_he_goes_to_the_lesion(review: ReviewController, press: Press) -> None:
    automatic = zoom_of(review)
    review.viewer.scene.camera.zoom *= 1.5
    for _ in range(review.session.tally().open):  # the series changes on the way
        press(Qt.Key.Key_J)
        assert zoom_of(review) == pytest.approx(automatic * 1.5)
    press(Qt.Key.Key_G)
    assert zoom_of(review) < automatic * 1.4


def test_after_the_whole_slice_was_chosen_the_next_lesion_comes_with_the_whole_slice(
    review: ReviewController, press: Press
) -> None:
    zoom_of(review)
    review.viewer.reset_view(margin=0.05)
    whole, middle = zoom_of(review), review.viewer.scene.camera.center
    press(Qt.Key.Key_J)
    assert zoom_of(review) == pytest.approx(whole)
    assert review.viewer.scene.camera.center == pytest.approx(middle, rel=0.05)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_a_zoom_at_which_the_lesion_cannot_be_seen_is_not_used_for_it(
    review: ReviewController, press: Press, factor: float
) -> None:
    automatic = zoom_of(review)
    review.viewer.scene.camera.zoom *= factor
    press(Qt.Key.Key_J)
    assert zoom_of(review) == pytest.approx(automatic)


def test_a_lesion_that_is_chosen_in_the_list_comes_at_the_zoom_of_the_reader(review: ReviewController) -> None:
    automatic = zoom_of(review)
    review.viewer.scene.camera.zoom *= 1.5
    other = review.session.entries[1].record.id
    review.worklist.lesion_chosen.emit(other)
    assert zoom_of(review) == pytest.approx(automatic * 1.5)
