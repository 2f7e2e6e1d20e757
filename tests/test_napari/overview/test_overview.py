"""The whole series at a glance by real keys and clicks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget
from support.window.seen import asked

from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_until
from lens_napari.overview.overview import Overview
from lens_napari.review.box_table import BoxState
from lens_napari.sections.planes import Plane

PATIENCE_SECONDS = 60.0
SHIFT, LEFT = Qt.KeyboardModifier.ShiftModifier, Qt.MouseButton.LeftButton
Press = Callable[..., None]


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    """Return a viewer on screen: a panel that cannot be seen is not drawn."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1500, 950)
    return viewer


@pytest.fixture
def overview(review: ReviewController, press: Press) -> Overview:
    """Return the overview, opened by its key, with the projections of the first series."""
    asked(review)
    press(Qt.Key.Key_O, SHIFT)
    assert wait_until(lambda: is_projected(review.overview), PATIENCE_SECONDS)
    return review.overview


def is_projected(overview: Overview) -> bool:
    pictures = overview.panel.pictures.values()
    return all(picture.section is not None and picture.outlines for picture in pictures)


def click(overview: Overview, plane: Plane, place_mm: tuple[float, float]) -> None:
    picture = overview.panel.pictures[plane]
    down, right = picture.field.to_pixels(place_mm)
    QTest.mouseClick(picture, LEFT, pos=QPoint(round(right), round(down)))


def test_it_is_closed_by_default_and_costs_nothing_then(review: ReviewController) -> None:
    asked(review)
    assert not review.overview.panel.isVisible()
    review.view.go_to_slice(3)
    assert all(picture.section is None for picture in review.overview.panel.pictures.values())
    assert review.overview.marks == ()


def test_a_key_opens_it_with_the_densest_voxels_behind_each_other_and_closes_it(
    review: ReviewController, overview: Overview, press: Press
) -> None:
    loaded = review.view.loaded
    assert loaded is not None
    for plane, axis in ((Plane.CORONAL, 1), (Plane.SAGITTAL, 2)):
        section = overview.panel.pictures[plane].section
        assert section is not None
        assert np.array_equal(section.hu, loaded.volume.voxels.max(axis=axis))
        assert section.size_mm == pytest.approx(plane.size_mm(loaded.volume.geometry))
    press(Qt.Key.Key_O, SHIFT)
    assert not overview.panel.isVisible()


def test_lesions_are_numbered_as_in_the_list_and_coloured_by_their_state(
    review: ReviewController, overview: Overview, press: Press
) -> None:
    first = asked(review)
    texts = {outline.text for outline in overview.panel.pictures[Plane.CORONAL].outlines}
    assert {"1", "2"} <= texts
    press(Qt.Key.Key_Y)
    asked(review)
    decided = next(mark for mark in overview.marks if mark.lesion == first)
    assert (decided.number, decided.state) == (1, BoxState.ACCEPTED)
    assert "1✓" in {outline.text for outline in overview.panel.pictures[Plane.CORONAL].outlines}


def test_a_click_on_a_lesion_asks_about_it(review: ReviewController, overview: Overview) -> None:
    first = asked(review)
    other = next(mark for mark in overview.marks if mark.number is not None and mark.lesion != first)
    loaded = review.view.loaded
    assert loaded is not None
    click(overview, Plane.SAGITTAL, other.middle(Plane.SAGITTAL, loaded.volume.geometry))
    assert asked(review) == other.lesion


def test_a_click_elsewhere_brings_that_slice_and_a_line_says_which_one_is_on_screen(
    review: ReviewController, overview: Overview
) -> None:
    loaded = review.view.loaded
    assert loaded is not None
    spacing = loaded.volume.geometry.spacing_mm[0]
    click(overview, Plane.CORONAL, (2.5 * spacing, 1.0))
    assert review.view.slice_on_screen == (2, loaded.volume.geometry.shape[0])
    assert overview.panel.pictures[Plane.CORONAL].lines == (pytest.approx(2.5 * spacing), None)


def test_the_view_from_the_feet_is_chosen_by_its_button_and_a_lesion_there_is_asked_about(
    review: ReviewController, overview: Overview
) -> None:
    feet = overview.panel.pictures[Plane.AXIAL]
    assert feet.isHidden()
    QTest.mouseClick(overview.panel.buttons[Plane.AXIAL], LEFT)
    QTest.mouseClick(overview.panel.buttons[Plane.SAGITTAL], LEFT)
    assert overview.panel.pictures[Plane.SAGITTAL].isHidden()
    assert wait_until(feet.isVisible, PATIENCE_SECONDS)
    QTest.qWait(50)
    loaded, asked_before = review.view.loaded, review.current
    assert loaded is not None
    assert feet.section is not None
    np.testing.assert_array_equal(feet.section.hu, loaded.volume.voxels.max(axis=0))
    assert feet.lines == (None, None)
    assert asked_before is not None
    other = next(one for one in overview.marks if one.number is not None and one.lesion != asked_before.id)
    click(overview, Plane.AXIAL, other.middle(Plane.AXIAL, loaded.volume.geometry))
    assert wait_ready(review, PATIENCE_SECONDS)
    assert review.current is not None
    assert review.current.id != asked_before.id


def test_it_follows_to_another_series(review: ReviewController, overview: Overview) -> None:
    before = overview.panel.pictures[Plane.CORONAL].section
    review.show_series(2)
    assert wait_until(lambda: review.shown_series is not None and review.shown_series.id == 2, PATIENCE_SECONDS)
    assert wait_until(lambda: is_projected(overview), PATIENCE_SECONDS)
    after = overview.panel.pictures[Plane.CORONAL].section
    assert before is not None
    assert after is not None
    assert not np.array_equal(before.hu, after.hu)


def test_an_open_overview_is_open_in_the_next_review(
    review: ReviewController, overview: Overview, project_folder: Any
) -> None:
    review.close()
    again = open_project(project_folder, review.viewer, start_worker=False)
    assert wait_ready(again, PATIENCE_SECONDS)
    assert wait_until(lambda: is_projected(again.overview), PATIENCE_SECONDS)
    again.close()


def test_it_lies_below_the_worklist(review: ReviewController, overview: Overview) -> None:
    main = review.worklist.window()
    dock = next(one for one in main.findChildren(QDockWidget) if one.objectName() == "Overview")
    assert main.dockWidgetArea(dock) == Qt.DockWidgetArea.LeftDockWidgetArea
    assert dock.y() > review.worklist.mapTo(main, QPoint(0, 0)).y()
